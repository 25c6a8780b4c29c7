"""`rose`, and `python -m rose_cli`: signals are heard also while the command line is still being loaded."""

from __future__ import annotations

import sys

from rose_cli.signals import Stopped, listen, raised
from rose_cli.streams import in_utf8


def main() -> None:
    try:
        in_utf8()
        listen()
        from rose_cli.cli import main as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    except BaseException as error:
        stopped = error if isinstance(error, Stopped) else raised()
        if stopped is None:
            raise
        stopped.say()
        raise stopped from None
    command_line()


if __name__ == "__main__":
    main()
