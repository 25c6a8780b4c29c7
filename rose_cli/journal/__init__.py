"""What happened: the only memory of a run."""
