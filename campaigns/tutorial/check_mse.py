"""The criterion: the mean squared error on points never used for training.

In units of the variance: 1 is no better than always predicting the mean, 0 is perfect.
"""

import numpy as np
from surrogate import predict
from workspace import load

points, positions = load("heldout", 0)
prediction = predict(load("model"), points).mean(axis=0)
print(np.mean((prediction - positions) ** 2) / positions.var())
