"""The campaign file as the user wrote it: YAML with locations, models, expressions."""
