"""Signals as a script finds them: handlers, what is ignored and blocked, in Python, in the kernel and in a child."""

import faulthandler
import signal
import subprocess
import sys


def kernel(text):
    return [line for line in text.splitlines() if line.startswith(("SigIgn", "SigBlk", "SigPnd", "ShdPnd", "SigCgt"))]


for number in sorted(signal.valid_signals()):
    found = signal.getsignal(number)
    if found not in (signal.SIG_DFL, None):
        print(number, found)
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.set_wakeup_fd(-1), signal.getitimer(signal.ITIMER_REAL))
print(kernel(open("/proc/self/status").read()), faulthandler.is_enabled())
for restore in (True, False):
    command = ["cat", "/proc/self/status"]
    print(kernel(subprocess.run(command, capture_output=True, text=True, restore_signals=restore).stdout))
sys.stdout.flush()
