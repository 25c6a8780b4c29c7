"""python -m of a package and of its modules: relative imports, argv, path, spec, resources."""
# lingers
# run: python -m pkg a b
# run: python -m pkg.tool x
# run: python -m pkg.sub
# run: python -m alone --flag
# run: python -m pkg.no_such
# run: python -m pkg.fails
# run: python -m no_such_package
# run: python -m pkg.sub.without_main
# run: python -m alone.x
# run: python pkg
# cold: is not a file with a script
# run: python -mpkg.tool y
# cold: passes the option

import __main__
import sys

from . import helper
from .sub import NAME

print(__name__, __package__, __spec__, __file__, __loader__.name, sys.argv, sys.orig_argv, sys.path[0])
print(helper.who(), NAME, __main__ is sys.modules["__main__"], "pkg.__main__" in sys.modules, __doc__)
print(sorted(name for name in globals() if name.startswith("__")), __spec__.origin, __cached__)
