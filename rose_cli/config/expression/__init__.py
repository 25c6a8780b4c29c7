"""Adaptive expressions of the iteration, evaluated safely."""
