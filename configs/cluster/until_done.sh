#!/usr/bin/env bash
# Submits slurm.sh until all cells of a study are done, or an array has finished none (docs/clusters.md):
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
before=$(left 2>/dev/null || true)
while true; do
    # Waits for all tasks; its exit code is the highest of theirs. Whether the study is done depends on the cells.
    # shellcheck disable=SC2086
    sbatch --wait ${SBATCH_OPTIONS:-} "$here/slurm.sh" "$@" --out "$out" || echo "highest exit code: $?"
    after=$(left)
    echo "$(date -Is) $after cells left"
    [ "$after" != 0 ] || exit 0
    if [ "$after" = "$before" ]; then
        echo "this array finished no cell: see its logs; is --time long enough for a cell?" >&2
        exit 1
    fi
    before=$after
done
