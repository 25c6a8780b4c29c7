"""Workflow files of other programs as campaigns."""
