"""numpy: big products bit for bit, the number of threads of its libraries, its settings."""
# run: python numpy_math.py

import hashlib
import os

import numpy as np
import scipy.optimize
import sklearn.linear_model
import threadpoolctl

generator = np.random.default_rng(3)
a, b = generator.normal(size=(400, 400)), generator.normal(size=(400, 400))
for value in (a @ b, np.linalg.svd(a)[1], np.linalg.solve(a, b), np.fft.fft(a), np.sin(a).sum()):
    print(hashlib.sha256(np.ascontiguousarray(value)).hexdigest())
print(sorted((i["internal_api"], i["num_threads"], i["filepath"]) for i in threadpoolctl.threadpool_info()))
print(len(os.listdir("/proc/self/task")), np.geterr(), np.get_printoptions())
np.save("product.npy", a @ b)
print(np.array([1]) / 0)
