"""Unseeded numpy alone, which nothing else has drawn from: the first number of each task is another one."""
# run: python random_first.py
# differs

import numpy.random

print(numpy.random.normal())
