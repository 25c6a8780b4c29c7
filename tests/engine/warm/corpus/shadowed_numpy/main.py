"""A user's module that is named as a library that was loaded in advance."""
# all cold: has the name of a preloaded module

import numpy

print(numpy.WHO, numpy.__file__)
