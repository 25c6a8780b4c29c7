"""sys.settrace with frames above: a debugger that traces its callers sees this script alone."""

import sys

frame, seen = sys._getframe(), []
while frame is not None:
    frame.f_trace = lambda frame, event, arg: seen.append((event, frame.f_lineno))
    frame = frame.f_back
sys.settrace(lambda *_: None)
x = 1
sys.settrace(None)
print(seen)
