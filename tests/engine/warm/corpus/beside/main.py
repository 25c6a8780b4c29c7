"""Packages and modules beside the script, and the script in a folder below the working folder."""
# run: python main.py
# run: python sub/below.py
# run: python link.py
# run: python -m sub.below

import own
from own import part

print(own.__file__, part.VALUE, own.__path__, own.__spec__.origin)
