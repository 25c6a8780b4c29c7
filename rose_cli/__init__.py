"""rose: parallel active learning from one YAML file."""

__version__ = "0.1.0"
