"""The environment: Python's, that of the C library, a child's; changes reach children and the C library."""
# run: GREETING="hello ü" EMPTY= python environment.py

import ctypes
import os
import subprocess

libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p


def of_a_child(**more):
    found = subprocess.run(["env"], capture_output=True, **more).stdout.splitlines()
    return sorted(line for line in found if not line.startswith(b"_="))


print(sorted(os.environ.items()))
print(of_a_child() == sorted(os.fsencode(f"{name}={value}") for name, value in os.environ.items()))
print(list(os.environ), [libc.getenv(name.encode()) == os.environb[name.encode()] for name in os.environ])
print([name for name in os.environ if "WARM" in name or "PRELOAD" in name])
os.environ["ADDED"] = "1"
os.putenv("PUT", "2")
os.unsetenv("GREETING")
print(libc.getenv(b"ADDED"), libc.getenv(b"PUT"), libc.getenv(b"GREETING"), os.environ["GREETING"])
print([line for line in of_a_child() if line.startswith((b"ADDED", b"PUT", b"GREETING", b"EMPTY"))])
os.environ.clear()
print(of_a_child(), os.system("/usr/bin/env | /usr/bin/sort | /bin/grep -v -e PWD -e SHLVL -e _="))
