"""Adaptive expressions from text to closures; `spec.expression` is the door."""
