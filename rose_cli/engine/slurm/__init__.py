"""Slurm: what it says of a job, and tasks as steps of one."""
