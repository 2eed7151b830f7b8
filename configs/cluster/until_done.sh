#!/usr/bin/env bash
# Submits slurm.sh until all cells of a study are done, or an array has finished none (docs/clusters.md):
#   configs/cluster/until_done.sh results/quick configs/study/quick.toml
# Environment variables: SBATCH_OPTIONS, such as "--partition=gpu --array=0-7"; BATCHLAB, HARDWARE as in slurm.sh.
set -eu
out=$1
shift
here=$(dirname "$0")
left() { # number of cells that are not done, on any hardware
    local status
    status=$("${BATCHLAB:-batchlab}" status --json "$out") || return
    python3 -c 'import json, sys
cells = [cell for hardware in json.load(sys.stdin)["hardware"] for cell in hardware["cells"]]
print(sum(cell["progress"]["state"] != "done" for cell in cells))' <<< "$status"
}
before=$(left 2> /dev/null || true)
while true; do
    code=0 # the highest exit code of all tasks
    # shellcheck disable=SC2086
    sbatch --wait ${SBATCH_OPTIONS:-} "$here/slurm.sh" "$@" --out "$out" || code=$?
    [ "$code" != 2 ] || { echo "the study has an error: see the logs" >&2; exit 2; }
    after=$(left)
    echo "$(date -Is) highest exit code $code, $after cells left"
    [ "$after" != 0 ] || exit 0
    if [ "$after" = "$before" ]; then
        echo "this array finished no cell: see its logs; is --time long enough for a cell?" >&2
        exit 1
    fi
    before=$after
done
