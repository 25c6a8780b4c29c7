"""The first frame of a server of warm starts and of every task that it forks.

The server serves inside of `with`. What it forks comes back here and runs the task's program, in a `__main__` emptied
of these names: whatever happens then, up to the end of the interpreter, happens to the task as to any other program.
`warnings` and `logging` pass over frames of files with such a name, as over those of Python's own importlib_bootstrap.
"""

import sys

main = dict(globals())
bare = dict(sys.modules)
package = sys.modules["rose_cli"] = type(sys)("rose_cli")
package.__path__ = [sys.argv[1]]
from rose_cli.engine.warm.server import Server  # noqa: E402

task = Server(globals(), main, bare, int(sys.argv[2]))
with task:
    task.function(*task)
