"""Tests of the jobs that continue a run."""
