"""Usage of resources: it starts with this process."""

import os
import resource
import time

own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
print(own.ru_utime + own.ru_stime < 1, children.ru_utime, children.ru_maxrss, time.process_time() < 1, time.thread_time() < 1)
print(os.times().children_user, os.times().user + os.times().system < 1, time.perf_counter() > 0)
print(os.wait3.__name__)
try:
    os.wait()
except ChildProcessError as error:
    print(error)
