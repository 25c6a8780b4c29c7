"""What will run: the compiled campaign, with every default filled in."""
