"""The tables of a run that other programs read: their rows, and the type of each column."""
