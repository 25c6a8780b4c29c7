#!/bin/sh
#SBATCH --job-name=rose
#SBATCH --nodes=1
#SBATCH --ntasks=4
#SBATCH --time=01:00:00
# Submit it from this directory: `sbatch job.sh`. Rose stops cleanly before the job ends; submit it again to continue.
# Another batch system: replace the #SBATCH lines, and set limits.wall_time in campaign.yaml to a bit less than the job's.
# `--as-it-was`: a job that continues this one ignores what you edit in campaign.yaml in the meantime.
# module load openmpi
if test -d run
then exec rose resume run --as-it-was
else exec rose run campaign.yaml --run-dir run
fi
