"""os.exec: the process becomes another program, with the environment that is there, and with no more descriptors."""
# run: python execs.py

import os
import sys

print("flushed", flush=True)
print("lost")
os.environ["ADDED"] = "1"
code = "import os, sys; print(os.environ['ADDED'], 'ROSE_MARK' in os.environ, sys.argv, sorted(os.listdir('/proc/self/fd')))"
os.execv(sys.executable, ["other name", "-c", code, "x"])
