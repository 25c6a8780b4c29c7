"""argparse: the program's name in its usage, options, help, and exit code 2 for a wrong value."""
# run: python argparse_options.py --n 5 in.txt
# run: python argparse_options.py --help
# run: python argparse_options.py --n five in.txt
# run: python argparse_options.py

import argparse

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("file")
parser.add_argument("--n", type=int, default=1, help="how many")
given = parser.parse_args()
print(vars(given), parser.prog)
