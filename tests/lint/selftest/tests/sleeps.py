import time
time.sleep(1)  # expect: sleep
# time.sleep(1)
