"""Where a run comes from: the facts of its sessions, the crate that hands it on, whether its files are still those."""
