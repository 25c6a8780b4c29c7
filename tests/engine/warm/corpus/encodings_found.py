"""Encodings and the locale, as they are and where the environment sets them; text that is not ASCII."""
# run: python encodings_found.py ü
# run: LC_ALL=C python encodings_found.py ü
# run: LC_ALL=C.UTF-8 python encodings_found.py ü
# run: PYTHONIOENCODING=latin-1:replace python encodings_found.py ü
# run: PYTHONUTF8=1 LC_ALL=POSIX python encodings_found.py ü

import locale
import os
import sys

print([getattr(sys, name).encoding for name in ("stdin", "stdout", "stderr")], sys.stderr.errors, sys.stdout.errors)
print(locale.getlocale(), locale.getpreferredencoding(), sys.flags.utf8_mode, locale.setlocale(locale.LC_ALL))
print(ascii(sys.argv), sys.getfilesystemencoding(), locale.localeconv()["decimal_point"])
print("Größe → ok", file=sys.stderr)
with open("text", "w") as file:
    print(file.encoding)
print(ascii(os.fsdecode(b"\xff")), "Größe →")
