"""`rose`, and `python -m rose_cli`: quiet also where Ctrl-C comes while the command line is still being loaded."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from rose_cli.cli import main as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
