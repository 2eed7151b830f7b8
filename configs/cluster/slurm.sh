#!/usr/bin/env bash
# A Slurm job array whose tasks share the cells of one study (docs/clusters.md).
#   sbatch --partition=NAME --array=0-7 configs/cluster/slurm.sh configs/study/quick.toml
# Options before the script replace those below. Everything after it is passed to `batchlab sweep`.
# Environment variables: BATCHLAB, the program; HARDWARE, a common name for identical nodes (default: the partition).
#SBATCH --job-name=batchlab
#SBATCH --array=0-3
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --exclusive
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=batchlab-%A_%a.log

set -eu
hardware=${HARDWARE:-$SLURM_JOB_PARTITION}
echo "$(date -Is) task ${SLURM_ARRAY_TASK_ID:-0} on $SLURMD_NODENAME, start $((${SLURM_RESTART_COUNT:-0} + 1))"
# `exec`, because Slurm sends the signal to this process only, and bash does not pass it on.
exec "${BATCHLAB:-batchlab}" sweep "$@" --hardware "$hardware"
