#!/usr/bin/env bash
# quickstart: every stage in order, on hosts that ssh reaches and that see this folder. A stage that is done is passed over.
#   DLLM_RUN_HOSTS  their names, the first with the first process (default: node1 node2)
#   DLLM_RUN_RUNS   folder of runs and store, on a disk that all see   (default: ./runs)
#   DLLM_RUN_BASE   folder that relative paths start from             (default: .)
# Where a host fails others may wait for it: `dllm-run run` and `submit` end them, and continue.
set -euo pipefail
TREE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
RUNS="$(realpath -m "${DLLM_RUN_RUNS:-runs}")"
BASE="$(realpath "${DLLM_RUN_BASE:-.}")"
read -r -a HOSTS <<< "${DLLM_RUN_HOSTS:-node1 node2}"
on() {
  local host="$1"; shift
  ssh -o BatchMode=yes "$host" "cd $(printf %q "$PWD") && exec env PYTHONPATH=$(printf %q "${PYTHONPATH:-}") PATH=$(printf %q "$PATH") $(printf "%q " "$@")"
}
stage() {
  local id="$1" nodes="$2" processes="$3" marks node pids=()
  [ -n "${HOSTS[nodes - 1]:-}" ] || { echo "$id is for $nodes hosts, and these are ${HOSTS[*]}" >&2; exit 6; }
  mkdir -p "$RUNS/store"
  marks="$(mktemp -d "$RUNS/store/.marks-XXXXXX")"
  if [ "$((nodes * processes))" = 1 ]; then
    on "${HOSTS[0]}" python -m dllm_run.runtime "$TREE/plan.json" "$id" --runs "$RUNS" --base "$BASE"
  else
    for ((node = 0; node < nodes; node++)); do echo "${HOSTS[node]} slots=$processes"; done > "$marks/hostfile"
    deepspeed --hostfile "$marks/hostfile" --launcher pdsh --force_multi --master_addr "${HOSTS[0]}" --master_port 4444 --no_local_rank \
      --module dllm_run.launchers.rank "$marks" "$TREE/plan.json" "$id" --runs "$RUNS" --base "$BASE"
  fi
  rm -r "$marks"
}
stage fb8d2e57e1054920 1 1  # train.data
stage 26ce0af5847e6f0a 2 2  # train
stage 0f6aff8bc5f922d9 1 1  # bound
stage 1bdbe2e538ef4e58 1 1  # look
