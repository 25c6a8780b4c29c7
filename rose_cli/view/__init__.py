"""What it looks like on a screen."""
