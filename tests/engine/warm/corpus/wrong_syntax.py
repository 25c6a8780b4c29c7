"""A script with a syntax error: the message has no frame at all."""

print("never printed")
def broken(:
    pass
