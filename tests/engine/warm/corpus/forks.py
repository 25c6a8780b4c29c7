"""os.fork: both go to the end of the script, with its exit hooks; a child outlives its leader for a moment."""
# lingers
# run: python forks.py both
# run: python forks.py outlives
# run: python forks.py child-fails
# run: python forks.py child-exits
# run: python forks.py child-waits-for-thread

import atexit
import os
import sys
import threading
import time

how = sys.argv[1]
atexit.register(lambda: os.write(1, b"hook of the parent\n" if pid else b"hook of the child\n"))
print("before, and twice, as both flush it")
pid = os.fork()
if how == "outlives" and pid == 0:
    leader = os.getpgrp()
    while os.getppid() == leader:
        time.sleep(0.001)
    with open("late", "w") as file:
        file.write("after the leader")
elif pid == 0:
    print("child", os.getppid() == os.getpgrp(), threading.active_count())
    if how == "child-fails":
        raise ValueError("in the child")
    if how == "child-exits":
        sys.exit(5)
    if how == "child-waits-for-thread":
        threading.Thread(target=lambda: (time.sleep(0.05), print("thread of the child"))).start()
elif how != "outlives":
    print("parent", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
