"""What a script leaves behind is terminated: daemons, and those who left its session, in every manner."""
# run: python left_behind.py background
# run: python left_behind.py setsid
# run: python left_behind.py twice
# run: python left_behind.py forked
# run: python left_behind.py forked-setsid
# run: python left_behind.py bare-child

import os
import subprocess
import sys
import time

how = sys.argv[1]
sleep = ["sleep", "1000"]
if how == "background":
    subprocess.Popen(sleep)
elif how == "setsid":
    subprocess.Popen(sleep, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
elif how == "twice":
    subprocess.run([sys.executable, "-c", f"import subprocess; subprocess.Popen({sleep}, start_new_session=True)"])
elif how == "bare-child":
    subprocess.Popen(sleep, env={})
elif os.fork() == 0:
    if how == "forked-setsid":
        os.setsid()
    time.sleep(1000)
print("the end")
