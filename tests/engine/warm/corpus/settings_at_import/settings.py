import os

ITERATION = int(os.environ["ROSE_ITERATION"])
LEARNER = os.environ.get("ROSE_LEARNER")
