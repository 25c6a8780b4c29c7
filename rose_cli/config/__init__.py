"""The campaign file as the user wrote it: YAML with places, models, expressions."""
