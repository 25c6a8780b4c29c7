"""scikit-learn and numpy: warnings of theirs, with this script's lines."""
# run: python sklearn_warning.py

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

x = np.random.default_rng(1).normal(size=(200, 5))
LogisticRegression(max_iter=1).fit(x, x[:, 0] > 0)
np.log(np.array([-1.0, 0.0]))
np.array([1]) / np.array([0])
warnings.warn("by this script", DeprecationWarning)
