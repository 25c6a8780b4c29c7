#!/usr/bin/env python
"""A script that is executed itself, by its first line."""
# run: ./shebang.py a
# run: /usr/bin/env python shebang.py a
# cold: is not a Python program

import sys

print(__file__, sys.argv, sys.orig_argv, sys.executable, __name__)
