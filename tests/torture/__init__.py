"""Attacks on rose, each with a verdict: `make torture` runs all of them at length, pytest a short part of each."""
