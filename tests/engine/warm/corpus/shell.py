"""A command that is no Python: a shell that starts one."""
# run: sh -c "python shell.py inner"
# all cold: sh

import sys

print(sys.argv)
