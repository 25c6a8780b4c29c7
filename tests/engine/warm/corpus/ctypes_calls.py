"""ctypes: calls, callbacks, errno, a static of the C library."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
numbers = (ctypes.c_int * 5)(3, 1, 2, 5, 4)
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
libc.qsort(numbers, 5, ctypes.sizeof(ctypes.c_int), compare(lambda a, b: a[0] - b[0]))
print(list(numbers), libc.getpid() == os.getpid(), libc.rand(), libc.rand(), ctypes.get_errno())
print(libc.open(b"/no/such", 0), os.strerror(ctypes.get_errno()))
name = ctypes.create_string_buffer(16)
print(libc.prctl(16, name), name.value, libc.prctl(3), libc.prctl(30))
for option in (37, 2):  # child subreaper, parent death signal
    value = ctypes.c_int(7)
    libc.prctl(option, ctypes.byref(value))
    print(option, value.value)
