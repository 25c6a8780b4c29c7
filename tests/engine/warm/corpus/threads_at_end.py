"""threading: the end waits for threads that are no daemons, and for no others; one ends with an error, one exits."""

import sys
import threading
import time

print(threading.active_count(), threading.current_thread() is threading.main_thread(), threading.main_thread().name)
print(threading.get_ident() == threading.main_thread().ident, len(threading.enumerate()))


def slow():
    time.sleep(0.1)
    print("late, in", threading.current_thread().name)
    print("main is alive:", threading.main_thread().is_alive())


def fails():
    raise ValueError("in a thread")


def leaves():
    sys.exit("no message of a thread is shown")


threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
for target in (fails, leaves):
    thread = threading.Thread(target=target, name=target.__name__)
    thread.start()
    thread.join()
threading.Thread(target=slow, name="slow").start()
print("the end of the script")
