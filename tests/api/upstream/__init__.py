"""Upstream ROSE's classes on top of rose."""
