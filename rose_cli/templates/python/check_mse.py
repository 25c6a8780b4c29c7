"""The criterion: the mean squared error of the surrogate on an even grid of points."""

from sim import curve
from surrogate import Surrogate
from workspace import load

POINTS = 201

surrogate = Surrogate(load("model"))
places = [number / (POINTS - 1) for number in range(POINTS)]
print(sum((surrogate.predict(x) - curve(x)) ** 2 for x in places) / POINTS)
