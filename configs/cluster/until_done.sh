#!/usr/bin/env bash
# Submits slurm.sh until no cell of a study is left, or a whole array has finished none (docs/clusters.md).
#   configs/cluster/until_done.sh results/quick configs/study/quick.toml
# Environment variables: SBATCH_OPTIONS, such as "--partition=gpu --array=0-7"; BATCHLAB, HARDWARE as in slurm.sh.
set -eu
out=$1
shift
here=$(dirname "$0")
left() { # cells that are not done, on any hardware
    "${BATCHLAB:-batchlab}" status --json "$out" |
        python3 -c 'import json, sys
cells = [cell for hardware in json.load(sys.stdin)["hardware"] for cell in hardware["cells"]]
print(sum(cell["progress"]["state"] != "done" for cell in cells))'
}
before=
while true; do
    # Waits for all tasks. What the exit code says about one task, the cells say about the study.
    # shellcheck disable=SC2086
    sbatch --wait ${SBATCH_OPTIONS:-} "$here/slurm.sh" "$@" --out "$out" || echo "a task ended with exit code $?"
    after=$(left)
    echo "$(date -Is) $after cells left"
    [ "$after" != 0 ] || exit 0
    if [ "$after" = "$before" ]; then
        echo "no cell was finished: see the logs, and give a cell more time (--time)" >&2
        exit 1
    fi
    before=$after
done
