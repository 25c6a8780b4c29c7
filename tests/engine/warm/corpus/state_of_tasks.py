"""State that a task changes in Python and in libraries: the next task finds none of it."""
# run: python state_of_tasks.py

import builtins
import decimal
import json
import locale
import os
import signal
import sys

import numpy as np

print(hasattr(builtins, "mine"), hasattr(np, "mine"), hasattr(json, "mine"), "mine" in sys.modules, os.environ.get("MINE"))
print(decimal.getcontext().prec, np.get_printoptions()["precision"], np.geterr()["divide"], sys.getrecursionlimit())
print(signal.getsignal(signal.SIGUSR1), locale.setlocale(locale.LC_ALL), sys.gettrace(), os.getcwd(), "mine" in sys.path)
builtins.mine = np.mine = json.mine = 1
sys.modules["mine"] = json
sys.path.append("mine")
os.environ["MINE"] = "1"
decimal.getcontext().prec = 5
np.set_printoptions(precision=2)
np.seterr(all="ignore")
sys.setrecursionlimit(5000)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
sys.settrace(lambda *_: None)
os.chdir("/")
