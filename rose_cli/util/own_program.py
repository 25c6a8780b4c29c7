"""The command line of a Python process that runs a module of rose, with the same packages as this one."""

from __future__ import annotations

import sys
from pathlib import Path

_PACKAGE = str(Path(__file__).absolute().parent.parent.parent)

_PROGRAM = """\
import sys
if sys.path[:1] == ['']:
    del sys.path[0]
package = sys.argv.pop(1)
if package not in sys.path:
    sys.path.append(package)
from {module} import main
main()
"""


def own_program(module: str, *arguments: str, flags: tuple[str, ...] = ()) -> list[str]:
    """`module` has a function `main`; `flags` are those of the interpreter.

    The directory that it works in, which may be that of a campaign, is not searched for modules.
    """
    program = _PROGRAM.format(module=module)
    return [sys.executable or "python3", *flags, "-c", program, _PACKAGE, *arguments]
