"""Options of the interpreter, which cannot be changed once it runs: a fresh one."""
# run: python -O flags.py
# run: python -B flags.py
# run: python -I flags.py
# run: python -S flags.py
# run: python -E flags.py
# run: python -s flags.py
# run: python -W error flags.py
# run: python -X dev flags.py
# run: python -Xutf8 flags.py
# run: python -bb flags.py
# run: python -OO -u flags.py
# all cold: option

import sys

print(sys.flags, sys.warnoptions, sys._xoptions, __debug__, __doc__, sys.path, sys.orig_argv)
assert not __debug__ or True
sys.stdout.write("unbuffered?")
