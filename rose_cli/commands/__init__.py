"""One file per verb: it wires the parts and decides nothing."""
