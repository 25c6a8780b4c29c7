"""A script with a byte order mark, CRLF and no newline at its end; a form feed."""
print("bom ü")

if True:
    raise ValueError(__doc__)