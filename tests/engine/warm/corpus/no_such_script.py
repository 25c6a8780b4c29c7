"""Scripts that are not there, that cannot be read, and folders without a __main__."""
# all cold: is not a file with a script
# run: python not_there.py x
# run: python .
# run: python /dev/null
