"""The first frame of a server of warm starts and of every task that it forks.

The server serves, and what it forks comes back here and runs the task's program, in a `__main__` emptied of these
names: whatever happens then, up to the end of the interpreter, happens to the task as to any other program.

See `first_frame` for how this is not seen. With an older Python, `warnings` and `logging` pass over frames of files
with such a name, as over those of Python's own importlib_bootstrap.
"""

import sys

names = sys.modules["__main__"].__dict__  # `globals()` needs a frame that is seen
main = dict(names)
bare = dict(sys.modules)
package = sys.modules["rose_cli"] = type(sys)("rose_cli")
package.__path__ = [sys.argv[1]]
from rose_cli.engine.warm.server import Server  # noqa: E402

task = Server(names, main, bare, [int(number) for number in sys.argv[2:]])
task.depth.measure()
exec(*task.depth.in_text)  # noqa: S102
task.depth.measure(*())
task.serve()
if task.ends_here:
    with task:
        task.function(*task)
else:
    task.function(*task)
