"""What every other package may use: errors, files, processes, secrets. It knows nobody above it."""
