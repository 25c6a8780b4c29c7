"""Cross-checks of a compiled campaign."""
