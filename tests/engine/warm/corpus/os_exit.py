"""os._exit: no exit hook, no thread is waited for, nothing is flushed."""

import atexit
import os
import sys
import threading
import time

atexit.register(print, "never")
threading.Thread(target=time.sleep, args=(600,)).start()
sys.stdout.write("lost, as it was not flushed")
os.write(1, b"written\n")
os._exit(7)
