"""Experiment trackers: what they are told, and the process that tells them."""
