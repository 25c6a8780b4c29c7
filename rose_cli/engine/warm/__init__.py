"""Warm starts: Python tasks forked from a process that has their modules imported."""
