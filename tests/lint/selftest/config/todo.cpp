// TODO tidy up                 expect: todo
// FIXME: later                 expect: todo
// TODO #12: this one has its issue
int todo_list = 0;
