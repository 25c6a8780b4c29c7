"""Prints what it was given: arguments, environment, working folder, standard input."""

import json
import os
import sys
from pathlib import Path

given = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": str(Path.cwd()), "stdin": sys.stdin.read()}
print(json.dumps(given))  # noqa: T201
