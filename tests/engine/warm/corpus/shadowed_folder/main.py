"""A folder of data that is named as a library and is no package: the library wins, as in a fresh interpreter."""
# run: python main.py

import numpy

print(numpy.__name__, numpy.__file__ is not None, numpy.__version__ > "1")
