#!/usr/bin/env bash
# sudoku: every stage in order. A stage that is done is passed over, a stage that was killed continues.
#   DLLM_RUN_RUNS   folder of runs and store             (default: ./runs)
#   DLLM_RUN_BASE   folder that relative paths start from (default: .)
set -euo pipefail
TREE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
stage() {
  local id="$1"; shift
  python "$@" "$TREE/plan.json" "$id" --runs "${DLLM_RUN_RUNS:-runs}" --base "${DLLM_RUN_BASE:-.}"
}
stage 06f0d15254c4946f -m dllm_run.runtime  # train.data
stage 487bda3768138691 -m dllm_run.runtime  # train
stage 1906811f54944b1e -m dllm_run.runtime  # solve
