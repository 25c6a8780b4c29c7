"""What rose costs, measured against what it is compared with; `python -m benchmarks` writes docs/benchmarks.md."""
