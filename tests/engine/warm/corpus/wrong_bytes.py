"""A script whose bytes are not those of its encoding."""
print("never")
x = "ÿ"
