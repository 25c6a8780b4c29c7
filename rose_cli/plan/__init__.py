"""What will run: nothing left to default, every path absolute."""
