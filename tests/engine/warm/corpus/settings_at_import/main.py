"""A user's module that reads the environment when it is imported: each task has its own."""
# run: ROSE_ITERATION=3 python main.py
# run: ROSE_ITERATION=4 ROSE_LEARNER=b python main.py

import os

import settings

print(settings.ITERATION, settings.LEARNER, os.environ["ROSE_ITERATION"])
