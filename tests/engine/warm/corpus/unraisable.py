"""Errors that cannot be raised: in __del__, at the very end too, in a callback; sys.unraisablehook of one's own."""

import sys
import weakref


class Fails:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        raise ValueError(f"in __del__ of {self.name}")


def called(_):
    raise KeyError("in a callback")


thing = Fails("first")
del thing
target = type("Target", (), {})()
reference = weakref.ref(target, called)
del target
sys.unraisablehook = lambda args: print("own hook:", args.exc_value)
second = Fails("second")
del second
sys.unraisablehook = sys.__unraisablehook__
kept_to_the_end = Fails("the one that is kept")
