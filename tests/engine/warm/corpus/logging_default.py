"""logging: no handler and no level from anywhere, the last resort, relative times from the start of this process."""

import logging
import os
import time

root = logging.getLogger()
print(root, root.handlers, logging.lastResort, logging.raiseExceptions, logging.root.manager.disable)
logging.warning("by the last resort, which adds a handler")
logging.getLogger("own").error("an error", exc_info=ValueError("v"))
record = logging.makeLogRecord({})
started = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
running = time.clock_gettime(time.CLOCK_BOOTTIME) - started
record = root.makeRecord("n", logging.INFO, "f", 1, "m", (), None)
print(0 <= record.relativeCreated / 1000 < running + 0.1, record.process == os.getpid(), record.processName, record.threadName)
logging.basicConfig(filename="own.log", format="%(name)s %(process)d %(message)s", force=True)
logging.error("never with a number of a process that is not mine: %s", os.getpid() == record.process)
os.remove("own.log")
