"""faulthandler: the stack of a process that crashes."""
# known: the frames of rose's bootstrap and the extension modules that are preloaded are listed as well

import faulthandler
import os
import signal

faulthandler.enable()
os.kill(os.getpid(), signal.SIGSEGV)
