"""A standard output that is closed, full or replaced: exit code 120 where the last lines cannot be written."""
# run: python stdout_gone.py descriptor
# run: python stdout_gone.py object
# run: python stdout_gone.py full
# run: python stdout_gone.py none
# run: python stdout_gone.py replaced
# run: python stdout_gone.py detached
# run: python stdout_gone.py print-fails
# run: python stdout_gone.py full-after-exit
# run: python stdout_gone.py stderr-full

import io
import os
import sys

how = sys.argv[1]
print("before")
if how == "descriptor":
    os.close(1)
elif how == "object":
    sys.stdout.close()
elif how in ("full", "full-after-exit"):
    sys.stdout.flush()
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    print("to a full disk")
elif how == "none":
    sys.stdout = None
    print("to nothing")
elif how == "replaced":
    sys.stdout = io.StringIO()
    print("into memory")
elif how == "detached":
    sys.stdout.detach()
elif how == "print-fails":
    sys.stdout.close()
    print("raises")
elif how == "stderr-full":
    os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
    raise ValueError("nobody sees it")
if how == "full-after-exit":
    sys.exit(3)
