#!/usr/bin/env bash
# sudoku: every stage in order. A stage that is done is passed over, a stage that was killed continues.
#   DLLM_RUN_RUNS   folder of runs and store             (default: ./runs)
#   DLLM_RUN_BASE   folder that relative paths start from (default: .)
set -euo pipefail
TREE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
stage() {
  python -m dllm_run.runtime "$TREE/plan.json" "$1" --runs "${DLLM_RUN_RUNS:-runs}" --base "${DLLM_RUN_BASE:-.}"
}
stage f3f03fdef253a090  # train.data
stage 621a26076f5af7cb  # train
stage 0adfeb63dbb597f8  # solve
