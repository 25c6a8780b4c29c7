"""Programs for those who work on rose; none of them is installed."""
