"""A script with wrong indentation."""
if True:
    x = 1
  y = 2
