# -*- coding: latin-1 -*-
"""A script in Latin-1, as it declares."""
print(ascii("Größe"), "Größe")
raise ValueError("Größe")
