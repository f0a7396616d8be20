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
stage 4d03ebe2ad3a4b99 -m dllm_run.runtime  # train.data
stage ddb997dceef74684 -m dllm_run.runtime  # train
stage 6687a2b6f1eda320 -m dllm_run.runtime  # solve
