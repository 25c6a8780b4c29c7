"""sys.exit of all kinds: exit code, and what is printed."""
# run: python exits.py none
# run: python exits.py zero
# run: python exits.py three
# run: python exits.py 300
# run: python exits.py big
# run: python exits.py bigger
# run: python exits.py negative
# run: python exits.py true
# run: python exits.py text
# run: python exits.py empty
# run: python exits.py unicode
# run: python exits.py object
# run: python exits.py unprintable
# run: python exits.py tuple
# run: python exits.py several
# run: python exits.py float
# run: python exits.py finally
# run: python exits.py replaced
# run: python exits.py builtin
# run: python exits.py caught
# run: python exits.py subclass
# run: python exits.py code
# run: python exits.py in-del
# run: python exits.py stderr-gone

import sys


class Thing:
    def __str__(self):
        return "a thing"


class Unprintable:
    def __str__(self):
        raise ValueError("no text")


class Own(SystemExit):
    pass


class Leaves:
    def __del__(self):
        sys.exit(4)


how = sys.argv[1]
print("before", how)
codes = {
    "none": None, "zero": 0, "three": 3, "300": 300, "big": 2**40 + 5, "bigger": 2**70, "negative": -1, "true": True,
    "text": "a message", "empty": "", "unicode": "Größe \udc80", "object": Thing(), "unprintable": Unprintable(),
    "tuple": (1, 2), "float": 2.5,
}  # fmt: skip
if how in codes:
    sys.exit(codes[how])
if how == "several":
    raise SystemExit(1, 2)
if how == "builtin":
    exit(6)
if how == "subclass":
    raise Own(8)
if how == "code":
    leaving = SystemExit()
    leaving.code = 12
    raise leaving
if how == "in-del":
    Leaves()
    print("after")
if how == "stderr-gone":
    sys.stderr = None
    sys.exit("nowhere to be seen")
try:
    sys.exit(3)
except SystemExit as error:
    if how == "caught":
        print("caught", error.code)
        sys.exit(0)
    raise
finally:
    print("finally")
    if how == "replaced":
        sys.exit(11)
