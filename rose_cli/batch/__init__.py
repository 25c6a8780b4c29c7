"""Batch jobs that continue a run one after the other: what they request, their records, and who submits the next."""
