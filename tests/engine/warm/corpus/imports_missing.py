"""Modules that are not installed are not there, also where a library asks for them; the caches of imports are usable."""

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys

for name in ("matplotlib_not_there", "numpy.no_such_part", "os.nothing"):
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(type(error).__name__, error, error.name, error.path)
print(importlib.util.find_spec("no_such_module"), importlib.metadata.version("numpy"))
with open("made_now.py", "w") as file:
    file.write("value = 5\n")
importlib.invalidate_caches()
import made_now

print(made_now.value, made_now.__file__, made_now.__cached__, sys.modules["made_now"] is made_now)
print([module.name for module in pkgutil.iter_modules(["."])])
import numpy_no_such
