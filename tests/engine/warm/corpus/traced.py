"""sys.settrace and sys.setprofile: events of this script alone."""

import sys

events = []


def tracer(frame, event, arg):
    events.append((event, frame.f_code.co_name, frame.f_lineno))
    return tracer


def traced(x):
    y = x + 1
    return y


sys.settrace(tracer)
traced(1)
sys.settrace(None)
sys.setprofile(lambda frame, event, arg: events.append((event, frame.f_code.co_name)))
traced(2)
sys.setprofile(None)
print(events)
