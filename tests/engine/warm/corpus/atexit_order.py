"""atexit: last in, first out; after the threads; an error in one of them is printed and does not change the code."""
# run: python atexit_order.py plain
# run: python atexit_order.py error
# run: python atexit_order.py exit
# run: python atexit_order.py after-error
# run: python atexit_order.py after-exit

import atexit
import sys
import threading
import time

how = sys.argv[1]


def fails():
    raise RuntimeError("in atexit")


def late():
    time.sleep(0.05)
    print("thread")


atexit.register(print, "first registered")
if how == "error":
    atexit.register(fails)
if how == "exit":
    atexit.register(sys.exit, 9)
atexit.register(print, "last registered", file=sys.stderr)
atexit.register(lambda: atexit.register(print, "registered at the end"))
threading.Thread(target=late).start()
if how == "after-error":
    raise ValueError("uncaught")
if how == "after-exit":
    sys.exit(5)
