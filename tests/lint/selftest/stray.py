# a file that somebody has left here  expect: layout
