"""The module __main__: its attributes, its loader, its place in sys.modules, and its globals."""
# run: python main_module.py
# known on 3.10: the first frame of rose's bootstrap is seen
# run: python ./main_module.py
# known on 3.10: the first frame of rose's bootstrap is seen
# run: python ../work/main_module.py
# known on 3.10: the first frame of rose's bootstrap is seen

import __main__
import builtins
import sys

print({name: value for name, value in sorted(globals().items()) if name not in ("__loader__", "builtins", "sys", "__main__")})
print(type(__loader__), __loader__.name, __loader__.path, __loader__.get_filename(), __loader__.is_package("__main__"))
print(repr(__main__), __main__ is sys.modules["__main__"], vars(__main__) is globals(), type(__main__))
print(__builtins__ is builtins, __spec__, __package__, __name__, __file__, "__path__" in globals())
print(list(globals())[:10], list(sys.modules)[:5])
print(sorted(n for n in sys.modules if "rose" in n.lower()))
__annotations__["x"] = int
print(__annotations__, __doc__)
print(__import__("linecache").getline(__file__, 1), sys._getframe().f_back, sys._getframe().f_code.co_filename)
