"""SIGINT from outside: KeyboardInterrupt with this script's frames, and an end by the signal."""

import os
import signal
import subprocess
import time

subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -INT {os.getpid()}"])
try:
    time.sleep(60)
finally:
    print("finally", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
