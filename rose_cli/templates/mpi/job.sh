#!/bin/sh
#SBATCH --job-name=rose
#SBATCH --nodes=1
#SBATCH --ntasks=4
#SBATCH --time=01:00:00
#SBATCH --requeue --open-mode=append
# Submit it from this directory: `sbatch job.sh`. Rose stops cleanly before the job ends; submit it again to continue.
# Another batch system: replace the #SBATCH lines, and set limits.wall_time in campaign.yaml to a bit less than the job's.
# The last line starts the run, resumes it, or says how it ended. Keep `exec`: rose must hear the signals of the job.
# `--as-it-was`: a job that continues the run ignores what you edit in campaign.yaml in the meantime.
# module load openmpi
exec rose run campaign.yaml --run-dir rose-runs/main --resume-if-begun --as-it-was
