#!/bin/sh
sleep 1  # expect: sleep
while true; do sleep 0.1; done  # expect: sleep
echo "no sleep here"
