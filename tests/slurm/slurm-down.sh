#!/usr/bin/env bash
# Stop what slurm-up.sh started, each daemon by its own process id, and remove its state.
# With --keep the accounting records and the configuration stay for the next start.
set -uo pipefail

STATE=/var/lib/convergent-slurm
MARK="# written by Convergent's tests/slurm/slurm-up.sh"
status=0

# Nodes first: a controller that is gone would keep them waiting.
for file in "$STATE"/run/node*.pid "$STATE"/run/{slurmctld,slurmdbd,mariadbd,munged}.pid; do
  daemon=$(basename "$file" .pid)
  [[ $daemon == node* ]] && daemon=slurmd
  pid=$(cat "$file" 2>/dev/null) || continue
  # A process id may have been given to somebody else since.
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = $daemon ] || continue
  kill "$pid"
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || { echo "stopped $daemon"; continue 2; }
    sleep 0.1
  done
  echo "slurm-down: $daemon ($pid) did not stop within 10 s" >&2
  status=1
done

if [ $status = 0 ] && [ "${1:-}" != --keep ]; then
  for file in slurm.conf gres.conf slurmdbd.conf; do
    grep -qsF "$MARK" /etc/slurm/$file && rm -f /etc/slurm/$file
  done
  rm -rf "$STATE"
fi
exit $status
