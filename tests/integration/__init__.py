"""Tests of the whole program, each about a subject that several commands and packages share."""
