"""What every other package may use: errors, files, processes, secrets. It imports no other package."""
