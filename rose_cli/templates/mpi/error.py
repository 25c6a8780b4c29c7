"""The criterion: the standard error of the estimate, in per cent."""

from allocate import estimate
from workspace import load

print(estimate(load("sums")["sums"])[1])
