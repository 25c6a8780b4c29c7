"""What the user wrote: text, positions, and the typed campaign."""
