"""A script whose name has spaces and a letter that is not ASCII."""
# run: python "name with spaces ü.py" x

import sys

print(__file__, sys.argv)
raise ValueError("in a file with spaces")
