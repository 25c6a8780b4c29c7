"""The end of the interpreter: what a module of the user's holds, and what an uncaught error holds, is finalized as well."""
# run: python main.py
# run: python main.py error
# run: python main.py exit

import sys

import keeper


def function():
    local = open("local.txt", "w")
    local.write("held by a frame")
    if "error" in sys.argv:
        raise ValueError("uncaught")
    if "exit" in sys.argv:
        sys.exit(3)


print(keeper.NAME)
function()
