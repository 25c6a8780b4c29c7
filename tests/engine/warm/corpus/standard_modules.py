"""python -m of modules of the standard library and of installed packages."""
# run: python -m json.tool
# run: python -m timeit -n 1 -r 1 --help
# run: python -m site --user-base
# run: python -m unittest --help
# run: python -m compileall -q standard_modules.py
# run: python -m this
# run: python -m threadpoolctl -i numpy --help
# cold: is a preloaded one
# run: python -m py_compile standard_modules.py
# run: python -m doctest standard_modules.py
# run: python -m trace --trackcalls --count -C out standard_modules.py

print(__name__)
