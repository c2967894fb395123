#!/bin/bash
# The full profile on eight nodes overnight: `sbatch docs/cluster/slurm.sh` from a checkout that every node sees, with
# `.venv/bin/pip install -e '.[ray]'` and `.venv/bin/tox -e jax,torch,tf --notest` done once.
#SBATCH --job-name=seqsum
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --constraint=FEATURE
#SBATCH --time=12:00:00
# --exclusive: nobody else computes where it is timed. --constraint: nodes that are alike, or others are left out.
set -euo pipefail

export RAY_USAGE_STATS_ENABLED=0
ray=$PWD/.venv/bin/ray
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts[0]}:6379

# The first node holds Ray's head, which computes next to nothing, and measures like the others.
srun --nodes=1 --ntasks=1 --nodelist="${hosts[0]}" --overlap \
    "$ray" start --head --port=6379 --num-cpus="$SLURM_CPUS_ON_NODE" --include-dashboard=false --block &
sleep 20
if ((${#hosts[@]} > 1)); then
    srun --nodes=$((${#hosts[@]} - 1)) --ntasks-per-node=1 --exclude="${hosts[0]}" --overlap \
        "$ray" start --address="$head" --num-cpus="$SLURM_CPUS_ON_NODE" --block &
    sleep 20
fi

# A job that ran out of time goes on with: sbatch docs/cluster/slurm.sh --resume results/RUN
if (($# > 0)); then what=("$@"); else what=(--profile full); fi
.venv/bin/seqsum run --executor ray --address "$head" "${what[@]}"
