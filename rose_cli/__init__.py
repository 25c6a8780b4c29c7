"""rose: parallel active learning from one YAML file."""

__version__ = "0.1.0"

COMMAND_NAMES = ("rose", "rose-cli")
"""The names that the command is installed under."""
