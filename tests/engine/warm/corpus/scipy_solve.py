"""scipy: an integration, an optimisation and a random variable, bit for bit."""
# run: python scipy_solve.py

import numpy as np
from scipy import integrate, optimize

found = integrate.solve_ivp(lambda t, y: [y[1], -y[0] + 0.1 * np.sin(t)], (0, 20), [1, 0], rtol=1e-9)
print(found.y[:, -1].tolist(), found.nfev, integrate.quad(np.cos, 0, 1))
print(optimize.minimize(optimize.rosen, [1.2, 0.7, 3.1]).x.tolist())
