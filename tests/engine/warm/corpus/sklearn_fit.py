"""scikit-learn: fits bit for bit, and the pickled model."""
# run: python sklearn_fit.py

import pickle
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

generator = np.random.default_rng(1)
x = generator.normal(size=(200, 5))
y = x @ np.arange(5) + generator.normal(size=200)
ridge = Ridge(random_state=0).fit(x, y)
logistic = LogisticRegression(random_state=0).fit(x, y > 0)
print(ridge.coef_.tolist(), ridge.score(x, y), logistic.coef_.tolist(), repr(logistic))
Path("ridge.pickle").write_bytes(pickle.dumps(ridge))
Path("logistic.pickle").write_bytes(pickle.dumps(logistic))
