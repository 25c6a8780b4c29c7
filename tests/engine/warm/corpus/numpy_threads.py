"""numpy without a number of threads: as many as there are cores, in a fresh interpreter and in a warm one."""
# preload: numpy threadpoolctl
# run: OPENBLAS_NUM_THREADS= OMP_NUM_THREADS= python numpy_threads.py

import hashlib
import os

import numpy as np
import threadpoolctl

a = np.random.default_rng(3).normal(size=(600, 600))
print(hashlib.sha256(a @ a).hexdigest())
print([(i["internal_api"], i["num_threads"]) for i in threadpoolctl.threadpool_info()])
print(len(os.listdir("/proc/self/task")))
