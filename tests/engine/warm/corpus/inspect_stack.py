"""inspect and traceback: the stack begins with this script."""
# known on 3.10: the first frame of rose's bootstrap is seen

import inspect
import sys
import traceback


def outer():
    return inner()


def inner():
    traceback.print_stack()
    print([(frame.filename, frame.function, frame.lineno) for frame in inspect.stack()])
    return sys._getframe(2).f_back


print(outer())
frame = inspect.currentframe()
print(frame.f_back, frame.f_code.co_name, frame.f_globals is globals(), frame.f_locals is locals(), frame.f_code.co_flags)
try:
    outer(1)
except TypeError as error:
    print(error.__traceback__.tb_frame.f_back, error.__context__, traceback.format_exc())
