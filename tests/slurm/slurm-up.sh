#!/usr/bin/env bash
# A real SLURM on one machine, for the tests: sbatch, squeue, sacct, and three nodes with simulated
# processors and GPUs of their own (a slurmd for each, on a port of its own).
#
#   tests/slurm/slurm-up.sh      start (or do nothing, if it runs already); prints what it offers
#   tests/slurm/slurm-down.sh    stop it and remove its state
#
# Debian or Ubuntu, root, no systemd needed; installs the distribution's packages when they are
# missing. Everything listens on 127.0.0.1 only. It writes /etc/slurm (SLURM's compiled-in place:
# the executor plugin removes SLURM_CONF from the environment of job steps, so another place
# would not be found there) and refuses to touch a configuration that it did not write.
set -euo pipefail

STATE=/var/lib/convergent-slurm
MARK="# written by Convergent's tests/slurm/slurm-up.sh"
NODES=${CONVERGENT_SLURM_NODES:-3}
PROCESSORS=${CONVERGENT_SLURM_CPUS:-32} # of each node, as are memory and GPUs
MEMORY_MB=${CONVERGENT_SLURM_MEMORY_MB:-128000}
GPUS=${CONVERGENT_SLURM_GPUS:-4}
DATABASE_PORT=33316
NODE_PORT=17010 # node1 listens on the next one
HOST=$(hostname -s)
export PATH=/usr/sbin:/sbin:$PATH DEBIAN_FRONTEND=noninteractive

fail() { echo "slurm-up: $*" >&2; exit 1; }
running() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }
ready() { # ready SECONDS WHAT COMMAND...: run COMMAND until it succeeds
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "$what did not come up; see $STATE/log"
    sleep 0.2
  done
}

[ "$(id -u)" = 0 ] || fail "must run as root"
if [ -e /etc/slurm/slurm.conf ] && ! grep -qF "$MARK" /etc/slurm/slurm.conf; then
  fail "/etc/slurm/slurm.conf belongs to another SLURM; not touched"
fi

install_packages() {
  command -v apt-get >/dev/null || fail "SLURM is not installed, and there is no apt-get"
  # Without an init system the packages' scripts must not try to start their daemons.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  local log; log=$(mktemp)
  { apt-get update && apt-get install -y --no-install-recommends slurm-wlm \
      slurm-wlm-basic-plugins slurmdbd munge mariadb-server; } >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; fail "apt-get failed"; }
}
for program in slurmctld slurmd slurmdbd sacct munged mariadbd; do
  command -v $program >/dev/null || { install_packages; break; }
done

mkdir -p "$STATE"/{log,run,controller,database,gpu} /etc/slurm
chown slurm: "$STATE"/{log,run,controller}
chown mysql: "$STATE/database"
for ((gpu = 0; gpu < GPUS; gpu++)); do
  [ -e "$STATE/gpu/$gpu" ] || mknod "$STATE/gpu/$gpu" c 1 3 2>/dev/null || touch "$STATE/gpu/$gpu"
done
for ((node = 1; node <= NODES; node++)); do
  mkdir -p "$STATE/node$node"
done

cat >/etc/slurm/slurm.conf <<CONF
$MARK
ClusterName=convergent
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=slurm
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MpiDefault=none
ReturnToService=2
# No cgroups in a container: processes are followed by their parents, memory is polled.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill,UsePss
# The nodes claim more than the machine has.
SlurmdParameters=config_overrides
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2,bf_interval=2
KillWait=3
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStorageTRES=gres/gpu,gres/gpu:h100
AccountingStorageEnforce=associations,limits,qos
AccountingStoreFlags=job_comment
StateSaveLocation=$STATE/controller
SlurmdSpoolDir=$STATE/%n
SlurmctldPidFile=$STATE/run/slurmctld.pid
SlurmdPidFile=$STATE/run/%n.pid
SlurmctldLogFile=$STATE/log/slurmctld.log
SlurmdLogFile=$STATE/log/%n.log
NodeName=node[1-$NODES] NodeHostname=$HOST NodeAddr=127.0.0.1 Port=[$((NODE_PORT + 1))-$((NODE_PORT + NODES))] \\
  CPUs=$PROCESSORS RealMemory=$MEMORY_MB Gres=gpu:h100:$GPUS Feature=nvlink State=UNKNOWN
# Jobs of spot make way for those of urgent.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=DEFAULT Nodes=node[1-$NODES] DefaultTime=00:10:00 DefMemPerCPU=1000 PreemptMode=OFF State=UP
PartitionName=cpu Default=YES MaxTime=1-00:00:00
PartitionName=gpu MaxTime=1-00:00:00
PartitionName=spot MaxTime=1-00:00:00 PreemptMode=REQUEUE
PartitionName=urgent MaxTime=1-00:00:00 PriorityTier=10
CONF
cat >/etc/slurm/gres.conf <<CONF
$MARK
NodeName=node[1-$NODES] Name=gpu Type=h100 File=$STATE/gpu/[0-$((GPUS - 1))]
CONF
install -o slurm -g slurm -m 600 /dev/stdin /etc/slurm/slurmdbd.conf <<CONF
$MARK
DbdHost=localhost
DbdAddr=127.0.0.1
SlurmUser=slurm
LogFile=$STATE/log/slurmdbd.log
PidFile=$STATE/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DATABASE_PORT
StorageUser=slurm
StoragePass=local-tests-only
CONF

# munge: authentication
if ! munge -n 2>/dev/null | unmunge >/dev/null 2>&1; then
  install -d -o munge -g munge -m 755 /run/munge
  install -d -o munge -g munge -m 700 /etc/munge /var/log/munge /var/lib/munge
  [ -s /etc/munge/munge.key ] ||
    head -c 1024 /dev/urandom | install -o munge -g munge -m 400 /dev/stdin /etc/munge/munge.key
  runuser -u munge -- munged --pid-file=/run/munge/munged.pid
  ln -sf /run/munge/munged.pid "$STATE/run/munged.pid"
  ready 20 munged sh -c 'munge -n | unmunge'
fi

# mariadb: the accounting's database, with its own data directory and port
SOCKET=$STATE/run/mariadb/socket
if ! running "$STATE/run/mariadbd.pid"; then
  [ -d "$STATE/database/mysql" ] || mariadb-install-db --no-defaults --user=mysql \
    --datadir="$STATE/database" --skip-test-db >"$STATE/log/mariadb-install.log" 2>&1
  install -d -o mysql "$STATE/run/mariadb"
  setsid mariadbd --no-defaults --user=mysql --datadir="$STATE/database" --socket="$SOCKET" \
    --bind-address=127.0.0.1 --port=$DATABASE_PORT --innodb-buffer-pool-size=64M \
    --innodb-lock-wait-timeout=900 </dev/null >"$STATE/log/mariadb.log" 2>&1 &
  echo $! >"$STATE/run/mariadbd.pid"
  ready 60 mariadb mariadb-admin --no-defaults --socket="$SOCKET" --user=root ping
fi
mariadb --no-defaults --socket="$SOCKET" --user=root <<'SQL'
CREATE DATABASE IF NOT EXISTS slurm_acct_db;
CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED BY 'local-tests-only';
CREATE USER IF NOT EXISTS slurm@'127.0.0.1' IDENTIFIED BY 'local-tests-only';
GRANT ALL ON slurm_acct_db.* TO slurm@localhost;
GRANT ALL ON slurm_acct_db.* TO slurm@'127.0.0.1';
SQL

# SLURM itself
if ! running "$STATE/run/slurmdbd.pid"; then
  slurmdbd
  ready 60 slurmdbd sacctmgr -n show cluster
fi
known() { sacctmgr -n "$@" | grep -q .; }
known show cluster convergent || sacctmgr -Qi add cluster convergent >/dev/null
known show account tests || sacctmgr -Qi add account tests cluster=convergent >/dev/null
known show assoc user=root account=tests ||
  sacctmgr -Qi add user root account=tests defaultaccount=tests >/dev/null
known show qos urgent || sacctmgr -Qi add qos urgent priority=10 >/dev/null
sacctmgr -Qi modify account tests set qos=normal,urgent >/dev/null
running "$STATE/run/slurmctld.pid" || slurmctld
ready 60 slurmctld sh -c 'scontrol ping | grep -q UP'
for ((node = 1; node <= NODES; node++)); do
  running "$STATE/run/node$node.pid" || slurmd -N "node$node"
done
ready 60 "a node" sh -c '! sinfo -h -N -o %T | grep -qvE "^(idle|mixed|allocated)$"'
sinfo -o '%P %T %c cpus %m MB %G'
