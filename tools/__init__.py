"""Programs for developers of rose; they are not installed."""
