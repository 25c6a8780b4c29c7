"""What the process got from rose: umask, limits, priority, processors; and a limit of its own for memory."""

import os
import resource

mask = os.umask(0o022)
print(oct(mask), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0), sorted(os.sched_getaffinity(0)))
for name in sorted(dir(resource)):
    if name.startswith("RLIMIT_"):
        print(name, resource.getrlimit(getattr(resource, name)))
os.umask(mask)
with open("made", "w") as file:
    print(oct(os.fstat(file.fileno()).st_mode))
os.mkdir("folder")
print(oct(os.stat("folder").st_mode), os.cpu_count(), os.nice(0))
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
try:
    bytearray(8 << 30)
except MemoryError:
    print("MemoryError")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with open("limited", "wb", buffering=0) as file:
    print(file.write(b"x" * 2000))
    file.write(b"more")
