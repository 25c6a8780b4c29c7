"""pickle: classes and functions of __main__, byte for byte, and back in this process and in another one."""

import pickle
import subprocess
import sys
from pathlib import Path


class Model:
    def __init__(self, weights):
        self.weights = weights

    def __reduce__(self):
        return Model, (self.weights,)


class Plain:
    answer = 42


def function():
    return 1


things = [Model([1, 2]), Plain(), Plain, function]
Path("things.pickle").write_bytes(pickle.dumps(things, protocol=5))
Path("text.pickle").write_bytes(pickle.dumps(things, protocol=0))
back = pickle.loads(Path("things.pickle").read_bytes())
print(type(back[0]) is Model, back[2] is Plain, back[3] is function, Model.__module__, function.__module__)
code = "import pickle; pickle.load(open('things.pickle', 'rb'))"
done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
print(done.returncode, done.stderr)
