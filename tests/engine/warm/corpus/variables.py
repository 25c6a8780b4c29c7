"""Variables that an interpreter or a library reads when it starts."""
# run: PYTHONUNBUFFERED=1 python variables.py
# run: PYTHONDONTWRITEBYTECODE=1 python variables.py
# run: PYTHONWARNINGS=error python variables.py
# run: PYTHONPATH=lib python variables.py
# cold: relative path
# run: PYTHONOPTIMIZE=1 python variables.py
# run: PYTHONNOUSERSITE=1 python variables.py
# run: CUDA_VISIBLE_DEVICES=3 python variables.py
# run: OMP_NUM_THREADS=2 python variables.py
# run: TZ=Asia/Tokyo python variables.py
# run: HOME=/nowhere python variables.py
# run: LD_LIBRARY_PATH=/nowhere python variables.py
# run: PYTHONSAFEPATH=1 python variables.py
# run: LANG=de_DE.UTF-8 python variables.py

import os
import sys
import time
import warnings

print(sys.flags, sys.path, sys.warnoptions, sys.dont_write_bytecode, __debug__, sys.stdout.write_through)
print(time.tzname, time.strftime("%H", time.localtime(0)), os.path.expanduser("~"))
print({name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "LD_LIBRARY_PATH", "LANG")})
warnings.warn("shown or raised")
