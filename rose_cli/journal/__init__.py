"""What happened: the only memory."""
