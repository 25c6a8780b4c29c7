"""Untrusted text → nodes with their places: everything between the bytes of a file and a `Document`."""
