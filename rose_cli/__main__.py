"""`python -m rose_cli`: the same as `rose`."""

from rose_cli.cli import main

if __name__ == "__main__":
    main()
