"""`rose`, and `python -m rose_cli`: signals are heard also while the command line is still being loaded."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

_NEEDED_MEGABYTES = 32
"""With less, some of the libraries that are to be loaded end the process in ways of their own."""


def main() -> None:
    try:
        from rose_cli.util.shortage import check_room
        from rose_cli.util.signals import listen
        from rose_cli.util.streams import in_utf8

        in_utf8()
        listen()
        check_room(_NEEDED_MEGABYTES)
        from rose_cli.cli import main as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    except BaseException as error:  # noqa: BLE001 - the boundary is not there yet
        _end(error)
    command_line()


def _end(error: BaseException) -> NoReturn:
    """Where memory is short, not even what tells so may be there."""
    try:
        from rose_cli.util.errors import EngineError
        from rose_cli.util.shortage import shortage
        from rose_cli.util.signals import Stopped, raised
    except (MemoryError, ImportError, OSError):
        os.write(2, b"error: there is not enough memory to load rose; see 'ulimit -v'\n")
        os._exit(5)
    stopped = error if isinstance(error, Stopped) else raised()
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
