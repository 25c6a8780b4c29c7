"""Is ended by a signal in the middle of its work."""

import os
import signal

print("half", flush=True)  # noqa: T201
os.kill(os.getpid(), signal.SIGUSR1)
print("whole", flush=True)  # noqa: T201
