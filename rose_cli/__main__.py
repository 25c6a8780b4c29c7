"""`rose`, and `python -m rose_cli`: stop signals are handled even while the command line is being loaded."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

_NEEDED_MEGABYTES = 52
"""What the modules of `rose run` take. With less, Python and some libraries crash while they are being loaded, or raise
SystemError."""

_OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""Python's 700 make it look for garbage a hundred times while modules are imported, which create none."""


def main() -> None:
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 20, 20)
    try:
        from rose_cli.util.shortage import check_memory_available
        from rose_cli.util.signals import install_handlers
        from rose_cli.util.streams import restart_in_utf8

        restart_in_utf8()
        install_handlers()
        check_memory_available(_NEEDED_MEGABYTES)
        from rose_cli.cli import main as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    except BaseException as error:  # noqa: BLE001 - the handler in cli.py is not loaded yet
        _end(error)
    command_line()


def _end(error: BaseException) -> NoReturn:
    """Report the error. If memory is short, even the code that explains it might not load."""
    try:
        from rose_cli.util.errors import EngineError
        from rose_cli.util.shortage import shortage
        from rose_cli.util.signals import StopRequested, raised_stop
    except (MemoryError, ImportError, OSError):
        os.write(2, b"error: there is not enough memory to load rose; see 'ulimit -v'\n")
        os._exit(5)
    stopped = error if isinstance(error, StopRequested) else raised_stop()
    if stopped is not None:
        stopped.say()
        raise stopped from None
    known = error if isinstance(error, EngineError) else shortage(error)
    if known is None:
        raise error
    known.say()
    os._exit(known.exit_code)


if __name__ == "__main__":
    main()
