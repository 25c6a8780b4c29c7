"""A folder of the user's that is named as a part of a library's dependencies, in a folder below."""
# run: python tools/run.py
# all cold: has the name of a preloaded module
