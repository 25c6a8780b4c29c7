"""The recursion limit, how deep a script really gets, and a limit that it sets."""
# known on 3.10: the first frame of rose's bootstrap counts

import sys


def deep(n=1):
    try:
        return deep(n + 1)
    except RecursionError:
        return n


print(sys.getrecursionlimit(), deep())
sys.setrecursionlimit(2000)
print(sys.getrecursionlimit(), deep())
