"""threading: native id, names and number of threads, locks that are free, thread-local values that are not there."""

import _thread
import logging
import os
import threading

print(threading.get_native_id() == os.getpid(), threading.main_thread().native_id == os.getpid())
print(_thread._count(), len(os.listdir("/proc/self/task")))
thread = threading.Thread(target=print, args=("in a thread",))
print(thread.name)
thread.start()
thread.join()
print(logging._lock.acquire(blocking=False), threading._active_limbo_lock.acquire(blocking=False))
logging._lock.release()
threading._active_limbo_lock.release()
print(threading.stack_size(), threading.excepthook is threading.__excepthook__, threading.gettrace(), threading.getprofile())
