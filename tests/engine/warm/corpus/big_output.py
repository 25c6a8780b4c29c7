"""Much output on both streams, in turns."""

import sys

for number in range(20_000):
    print(number, "x" * 50)
    if number % 10 == 0:
        print(number, file=sys.stderr)
sys.stdout.write("no newline at the end")
