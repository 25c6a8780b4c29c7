"""A run on disk: its directory, lock, snapshots and stop requests."""
