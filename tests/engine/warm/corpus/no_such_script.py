"""Scripts that are not there, that cannot be read, and folders without a __main__."""
# run: python not_there.py x
# run: python .
# run: python /dev/null
