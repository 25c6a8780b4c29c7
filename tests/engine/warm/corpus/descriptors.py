"""Descriptors: 0, 1 and 2, and no others, here, in a forked child and in a program that inherits all; where they point."""

import os
import subprocess
import sys


def found():
    listing = os.open("/proc/self/fd", os.O_RDONLY)
    names = sorted(int(name) for name in os.listdir(listing) if int(name) != listing)
    os.close(listing)
    return [(number, os.readlink(f"/proc/self/fd/{number}")) for number in names if os.path.lexists(f"/proc/self/fd/{number}")]


print(found(), flush=True)
if os.fork() == 0:
    print("forked", found(), flush=True)
    os._exit(0)
os.wait()
code = "import os; print(sorted(n for n in os.listdir('/proc/self/fd') if int(n) < 3), len(os.listdir('/proc/self/fd')))"
subprocess.run([sys.executable, "-c", code], close_fds=False)
print(os.open("/dev/null", os.O_RDONLY), os.dup(0))
