"""warnings: what is shown, from where, once or always; the filters of a script that imports nothing."""

import warnings


def old():
    warnings.warn("old is deprecated", DeprecationWarning, stacklevel=2)


old()
for _ in range(2):
    old()
    warnings.warn("twice, shown once")
warnings.warn("pending", PendingDeprecationWarning)
exec(compile("import warnings\nwarnings.warn('x', DeprecationWarning)", "<lib>", "exec"), {"__name__": "lib"})
print(warnings.defaultaction, warnings.onceregistry, warnings.showwarning.__name__)
print("\d" if False else "", [].__len__ is 0)
open("unclosed", "w")
with warnings.catch_warnings():
    warnings.simplefilter("error")
    old()
