"""A user's modules that are named as those of the standard library: the user's win, as beside any script."""
# all cold: has the name of a preloaded module

import queue
import random

print(random.WHO, queue.WHO)
