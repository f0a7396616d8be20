#!/usr/bin/env bash
# sudoku: every stage in order. A stage that is done is passed over, a stage that was killed continues.
#   DLLM_RUN_RUNS   folder of runs and store             (default: ./runs)
#   DLLM_RUN_BASE   folder that relative paths start from (default: .)
set -euo pipefail
TREE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
stage() {
  python -m dllm_run.runtime "$TREE/plan.json" "$1" --runs "${DLLM_RUN_RUNS:-runs}" --base "${DLLM_RUN_BASE:-.}"
}
stage d1f3967e3a43607b  # train.data
stage f9e2ac2127317b03  # train
stage f6e50af6a166b719  # solve
