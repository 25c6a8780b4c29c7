"""The module sys as a script finds it: arguments, flags, paths, hooks, limits."""
# run: python sys_found.py a "b c" "" -x --y=ü
# run: python ./sys_found.py

import sys

print(sys.argv, sys.orig_argv)
print(sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix, sys._base_executable, sys.platlibdir)
print(sys.flags, sys.warnoptions, sys._xoptions, sys.dont_write_bytecode, sys.pycache_prefix)
print(sys.path)
print([getattr(finder, "__name__", finder) for finder in sys.meta_path], sys.path_hooks)
print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
print(sys.gettrace(), sys.getprofile(), sys.get_asyncgen_hooks(), sys.get_coroutine_origin_tracking_depth())
for name in ("excepthook", "displayhook", "unraisablehook", "breakpointhook"):
    print(name, getattr(sys, name) is getattr(sys, f"__{name}__"), hasattr(sys, "ps1"))
print(hasattr(sys, "last_type"), hasattr(sys, "last_exc"), hasattr(sys, "tracebacklimit"), sys.exc_info())
print(sys.is_finalizing(), sys.getdlopenflags(), sys.flags.safe_path if hasattr(sys.flags, "safe_path") else None)
print(hasattr(sys, "gettotalrefcount"), sys.stdlib_module_names >= {"os"}, sys.api_version)
if hasattr(sys, "get_int_max_str_digits"):
    print(sys.get_int_max_str_digits())
