#!/usr/bin/env bash
# llada-sft-qlora-zero2: every stage in order. A stage that is done is passed over, a stage that was killed continues.
#   DLLM_RUN_RUNS   folder of runs and store             (default: ./runs)
#   DLLM_RUN_BASE   folder that relative paths start from (default: .)
set -euo pipefail
TREE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
stage() {
  local id="$1"; shift
  python "$@" "$TREE/plan.json" "$id" --runs "${DLLM_RUN_RUNS:-runs}" --base "${DLLM_RUN_BASE:-.}"
}
stage deb2bc7dc2201b22 -m dllm_run.runtime  # train.data
stage 1f1fe9be731a6980 -m dllm_run.launchers.ranks -n 8  # train
