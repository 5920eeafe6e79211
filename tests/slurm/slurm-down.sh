#!/usr/bin/env bash
# Stop what slurm-up.sh started, each daemon by its own process id, and remove its state.
# With --keep the accounting records and the configuration stay for the next start.
set -uo pipefail

STATE=/var/lib/convergent-slurm
MARK="# written by Convergent's tests/slurm/slurm-up.sh"
status=0

for daemon in slurmd slurmctld slurmdbd mariadbd munged; do
  pid=$(cat "$STATE/run/$daemon.pid" 2>/dev/null) || continue
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
