"""Another plan for a run: by an edited campaign file, on a resume, or by `rose set`, while it runs or not."""
