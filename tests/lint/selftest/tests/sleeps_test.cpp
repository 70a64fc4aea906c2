void f()
{
    std::this_thread::sleep_for(10ms);  // expect: sleep
    ::usleep(10);                       // expect: sleep
    sleep(1);                           // expect: sleep
    // sleep(1) in a comment, and words like asleep(1):
    asleep(1);
}
