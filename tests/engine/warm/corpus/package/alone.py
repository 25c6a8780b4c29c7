import sys

print(__name__, repr(__package__), __spec__, sys.argv, sys.path[:2], sys.modules["__main__"].__file__)
sys.exit(4)
