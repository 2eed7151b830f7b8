#!/usr/bin/env bash
# A job array whose tasks share the cells of a study (docs/clusters.md):
#   sbatch --partition=NAME --array=0-7 configs/cluster/slurm.sh configs/study/quick.toml
# Environment: BATCHLAB, the program; HARDWARE, a name for identical nodes (default: the partition).
#SBATCH --job-name=batchlab --array=0-3
#SBATCH --nodes=1 --ntasks=1 --exclusive --time=04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue --open-mode=append --output=batchlab-%A_%a.log
set -eu
echo "$(date -Is) task ${SLURM_ARRAY_TASK_ID:-0} on $SLURMD_NODENAME, restarted ${SLURM_RESTART_COUNT:-0} times"
# Slurm sends the signal to this process only, and bash would not pass it on: hence `exec`.
exec "${BATCHLAB:-batchlab}" sweep "$@" --hardware "${HARDWARE:-$SLURM_JOB_PARTITION}"
