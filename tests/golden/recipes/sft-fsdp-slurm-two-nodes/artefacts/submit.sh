#!/usr/bin/env bash
# llada-sft-fsdp-slurm: send every stage to Slurm, each after those it needs. A stage that is done ends at once, one that was killed continues.
#   DLLM_RUN_RUNS   folder of runs and store, on a disk that all nodes see (default: ./runs)
#   DLLM_RUN_BASE   folder that relative paths start from                  (default: .)
set -euo pipefail
export DLLM_RUN_TREE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export DLLM_RUN_RUNS="$(realpath -m "${DLLM_RUN_RUNS:-runs}")"
export DLLM_RUN_BASE="$(realpath "${DLLM_RUN_BASE:-.}")"
here="$DLLM_RUN_TREE/artefacts"
job_train_data=$(sbatch --parsable "$here/train.data.sbatch")
echo "train.data: job ${job_train_data}"
job_train=$(sbatch --parsable --kill-on-invalid-dep=yes --dependency=afterok:${job_train_data} "$here/train.sbatch")
echo "train: job ${job_train}"
