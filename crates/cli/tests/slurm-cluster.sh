#!/usr/bin/env bash
# A throw-away Slurm on this machine, for tests: munged, a controller and three nodes, the last with two
# processors. Debian's packages are unpacked into DIR; nothing is installed. Needs root and apt-get.
#   slurm-cluster.sh start DIR PORT | control DIR | env DIR | stop DIR
set -euo pipefail
command=$1 dir=$(realpath -m "$2") port=${3:-}
root=$dir/root lib=$dir/root/usr/lib/$(uname -m)-linux-gnu
environment() {
  echo "SLURM_CONF=$dir/slurm.conf"
  echo "LD_LIBRARY_PATH=$lib:$lib/slurm-wlm"
  echo "PATH=$root/usr/bin:$PATH"
}
export SLURM_CONF=$dir/slurm.conf LD_LIBRARY_PATH=$lib:$lib/slurm-wlm
case $command in
env) environment ;;
control) "$root/usr/sbin/slurmctld-wlm" -f "$SLURM_CONF" ;;
stop)
  for file in "$dir"/run/*.pid; do
    [ ! -f "$file" ] || kill "$(cat "$file")" 2>/dev/null || true
  done
  ;;
start)
  mkdir -p "$dir"/{packages,root,run,log,state,munge} && chmod 700 "$dir/munge"
  packages=(libhwloc15 liblua5.1-0 libmunge2 munge slurm-wlm-basic-plugins slurm-client slurmctld slurmd)
  (cd "$dir/packages" && { apt-get download -qq "${packages[@]}" || { apt-get update -qq && apt-get download -qq "${packages[@]}"; }; })
  for package in "$dir"/packages/*.deb; do dpkg -x "$package" "$root"; done
  head -c 1024 /dev/urandom >"$dir/munge/key" && chmod 600 "$dir/munge/key"
  host=$(hostname -s)
  cat >"$SLURM_CONF" <<C
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket=$dir/run/munge.sock
CredType=cred/munge
SlurmUser=$(id -un)
SlurmctldPort=$port
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool.%n
SlurmctldPidFile=$dir/run/control.pid
SlurmdPidFile=$dir/run/%n.pid
SlurmctldLogFile=$dir/log/control
SlurmdLogFile=$dir/log/%n
PluginDir=$lib/slurm-wlm
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
MinJobAge=3600
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=1 RealMemory=500
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=1 RealMemory=500
NodeName=n3 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 3)) CPUs=2 RealMemory=500
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
C
  "$root/usr/sbin/munged" --force --socket="$dir/run/munge.sock" --key-file="$dir/munge/key" \
    --pid-file="$dir/run/munge.pid" --seed-file="$dir/munge/seed" --log-file="$dir/munge/log"
  "$root/usr/sbin/slurmctld-wlm" -f "$SLURM_CONF"
  for node in n1 n2 n3; do
    mkdir -p "$dir/spool.$node"
    "$root/usr/sbin/slurmd-wlm" -f "$SLURM_CONF" -N "$node" -d "$root/usr/sbin/slurmstepd-wlm"
  done
  for _ in $(seq 100); do
    [ "$("$root/usr/bin/sinfo" -hN -t idle -o %N | wc -l)" != 3 ] || exit 0
    sleep 0.2
  done
  echo "the nodes did not come up:" >&2
  "$root/usr/bin/sinfo" -N >&2
  exit 1
  ;;
esac
