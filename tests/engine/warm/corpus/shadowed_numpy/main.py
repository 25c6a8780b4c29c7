"""A user's module that is named as a library that was loaded in advance."""
# all cold: numpy

import numpy

print(numpy.WHO, numpy.__file__)
