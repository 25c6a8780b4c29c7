"""Uncaught errors: the traceback on standard error has this script's frames alone, and the exit code is 1."""
# run: python uncaught.py simple
# run: python uncaught.py nested
# run: python uncaught.py chained
# run: python uncaught.py context
# run: python uncaught.py suppressed
# run: python uncaught.py group
# run: python uncaught.py notes
# run: python uncaught.py recursion
# known on 3.10: the first frame of rose's bootstrap counts
# run: python uncaught.py unprintable
# run: python uncaught.py base
# run: python uncaught.py missing-import
# run: python uncaught.py compile
# run: python uncaught.py exec
# run: python uncaught.py library
# run: python uncaught.py hook
# run: python uncaught.py failing-hook
# known on 3.10: the first frame of rose's bootstrap is seen
# run: python uncaught.py exiting-hook
# run: python uncaught.py no-hook
# known on 3.10: the first frame of rose's bootstrap is seen
# run: python uncaught.py tracebacklimit
# run: python uncaught.py unicode
# run: python uncaught.py stop-iteration
# run: python uncaught.py interrupt
# run: python uncaught.py interrupt-subclass
# run: python uncaught.py generator
# run: python uncaught.py stderr-gone

import json
import sys


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")


class Base(BaseException):
    pass


class Interrupted(KeyboardInterrupt):
    pass


def inner():
    return 1 / 0


def chained():
    try:
        inner()
    except ZeroDivisionError as error:
        raise RuntimeError("a wrapped one") from error


def context():
    try:
        inner()
    except ZeroDivisionError:
        {}["missing"]


def suppressed():
    try:
        inner()
    except ZeroDivisionError:
        raise RuntimeError("alone") from None


def group():
    raise ExceptionGroup("several", [ValueError("one"), ExceptionGroup("inner", [TypeError("two")])])


def notes():
    error = ValueError("noted")
    error.add_note("a note\nof two lines")
    raise error


def recursion():
    return recursion()


def hook(kind, value, trace):
    print("hook", kind.__name__, value, trace.tb_lineno, trace.tb_frame.f_code.co_name)


def failing_hook(kind, value, trace):
    raise OSError("the hook fails")


def yields():
    try:
        yield 1
    finally:
        print("closed")


def raises(error):
    raise error


how = sys.argv[1]
print("before")
if how == "simple":
    raise ValueError("at the top")
if how == "missing-import":
    import no_such_module_at_all
if how == "compile":
    compile("a b", "<given>", "exec")
if how == "exec":
    exec("def f():\n    raise KeyError('f')\nf()")
if how == "library":
    json.loads("{")
if how in ("hook", "failing-hook", "no-hook", "exiting-hook"):
    hooks = {"hook": hook, "failing-hook": failing_hook, "no-hook": None, "exiting-hook": lambda *_: sys.exit(9)}
    sys.excepthook = hooks[how]
if how == "no-hook":
    del sys.excepthook
if how == "tracebacklimit":
    sys.tracebacklimit = 1
if how == "stderr-gone":
    sys.stderr.close()
if how == "generator":
    generator = yields()
    next(generator)
errors = {
    "unprintable": Unprintable(), "base": Base("b"), "unicode": ValueError("Größe \udc80 \x1b[31m"),
    "stop-iteration": StopIteration(3), "interrupt": KeyboardInterrupt("by hand"), "interrupt-subclass": Interrupted(),
}  # fmt: skip
if how in errors:
    raises(errors[how])
globals().get(how, inner)()
