#!/bin/bash
# A job or search on Slurm: one Ray over all nodes of the allocation, for as long as it runs.
#
#   sbatch --nodes=2 --gpus-per-node=4 deploy/slurm.sh train job.yaml
#   sbatch --nodes=4 --gpus-per-node=4 deploy/slurm.sh search search.yaml
#
# Submit it from a folder that all nodes see, with `unfreeze` on PATH (or UNFREEZE_BIN=.../bin).
# Results belong into a store that all nodes see too. When Slurm requeues the job, the same command
# runs again and goes on from the newest checkpoint.
#SBATCH --job-name=unfreeze
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# Nodes of our own: at its end `ray symmetric-run` stops every Ray that this user has on a node.
#SBATCH --exclusive
set -euo pipefail

if [[ $# -lt 2 ]]; then
    echo "usage: sbatch [options] deploy/slurm.sh train|search FILE.yaml [key=value ...]" >&2
    exit 2
fi
export PATH="${UNFREEZE_BIN:+$UNFREEZE_BIN:}$PATH"

# Other users reach these nodes over the network: they must not reach Ray without the token.
token="$HOME/.unfreeze/slurm-token"
if [[ ! -s $token ]]; then
    (
        umask 077
        mkdir -p "$HOME/.unfreeze"
        head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$token.$SLURM_JOB_ID"
        # Two jobs may come here at once: the first link stands.
        ln "$token.$SLURM_JOB_ID" "$token" || true
        rm "$token.$SLURM_JOB_ID"
    )
fi
chmod 600 "$token"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$token"
export RAY_USAGE_STATS_ENABLED=0
# A cut of half a minute is waited out (docs/several-nodes.md).
export RAY_health_check_failure_threshold=12
# Nodes of a large allocation do not come up within Ray's 30 s.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300
# Short, for the sockets in it (107 characters at most), and this job's own, on each node's disk.
export RAY_TMPDIR="/tmp/ray-$SLURM_JOB_ID"

# Ports that differ from job to job, below those that the kernel hands out.
port=$((20000 + SLURM_JOB_ID % 5000))
dashboard_port=$((25000 + SLURM_JOB_ID % 5000))

read -r head_node < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# A number: `symmetric-run` finds out which node is the head by comparing addresses, and a name may
# lead to the loopback on its own node.
read -r head_address _ < <(srun --nodes=1 --ntasks=1 --nodelist="$head_node" \
    hostname --all-ip-addresses)
address="$head_address:$port"
gpus=${SLURM_GPUS_ON_NODE:-0}
echo "head $head_node, dashboard there on 127.0.0.1:$dashboard_port, nodes: $SLURM_JOB_NUM_NODES"

# `symmetric-run` ends with 0 when Ray does not start, so the command leaves a mark when it is done.
done_mark="$HOME/.unfreeze/slurm-$SLURM_JOB_ID.done"
rm -f "$done_mark"
verb=$1
shift
# shellcheck disable=SC2016  # the inner shell is to see these, not this one
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
    --cpus-per-task="$SLURM_CPUS_ON_NODE" \
    ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus="$SLURM_CPUS_ON_NODE" --num-gpus="$gpus" \
    --dashboard-host=127.0.0.1 --dashboard-port="$dashboard_port" \
    -- bash -c 'mark=$1; shift; "$@" && touch "$mark"' unfreeze "$done_mark" \
    unfreeze "$verb" "$@" --address "$address"

if [[ ! -e $done_mark ]]; then
    echo "Ray did not start, or unfreeze did not end well; see above" >&2
    exit 1
fi
rm -f "$done_mark"
