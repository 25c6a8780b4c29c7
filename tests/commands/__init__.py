"""Tests of each command as a user calls it."""
