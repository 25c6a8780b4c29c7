"""python -u: warm where the environment asks for the same, as that of rose's tasks does; else a new interpreter."""
# run: PYTHONUNBUFFERED=1 python -u unbuffered.py a
# run: python -u unbuffered.py a
# cold: passes the option '-u'

import os
import sys

print(sys.flags, sys.argv, sys.orig_argv, sys.stdout.write_through, sys.stdout.line_buffering)
sys.stdout.write("not flushed")
os._exit(0)
