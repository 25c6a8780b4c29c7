"""Hashes of strings and the order of sets, where PYTHONHASHSEED sets them."""
# run: PYTHONHASHSEED=3 python hash_seed.py
# run: PYTHONHASHSEED=0 python hash_seed.py

import sys

print(hash("a string"), list({"a", "b", "c", "d", "e"}), sys.flags.hash_randomization)
