"""The process as the system shows it: command line, environment, name, program, session, group, parent."""
# preload: argparse json
# run: python process_found.py a "b c" ""

import os
import subprocess
import sys
from pathlib import Path

me = Path("/proc/self")
print((me / "cmdline").read_bytes(), (me / "comm").read_text(), os.readlink(me / "exe"), os.readlink(me / "cwd"))
print((me / "environ").read_bytes() == b"".join(os.fsencode(f"{n}={v}\0") for n, v in os.environ.items()))
print(os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid(), os.getppid(), os.getuid(), os.getgroups())
print((me / "oom_score_adj").read_text(), (me / "loginuid").read_text(), (me / "cgroup").read_text())
wanted = ("Name", "Umask", "Threads", "NoNewPrivs", "Seccomp", "CapEff", "Cpus_allowed", "Speculation", "TracerPid")
print([line for line in (me / "status").read_text().splitlines() if line.startswith(wanted)])
ps = subprocess.run(["ps", "-o", "args=,nice=,tty=", "-p", str(os.getpid())], capture_output=True, text=True)
print(ps.stdout, ps.stderr)
print(sys.executable == os.path.realpath(sys.executable) or os.path.samefile(sys.executable, me / "exe"))
try:
    os.setsid()
except OSError as error:
    print(error)
