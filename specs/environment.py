"""The environment of the process that runs a stage: what is set for it, by whoever starts it or by itself."""

ALWAYS = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Set whatever the surroundings say."""

UNLESS_GIVEN = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait by spinning take the core from the one they wait for: five times slower beside one other busy program."""

OWN = ("DLLM_RUN_TREE", "DLLM_RUN_RUNS", "DLLM_RUN_BASE")
"""Where the compiled tree, the runs and the start of relative paths are: placeholders of every script."""

RANK = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What tells each of several processes of a stage which it is and where they meet, as torchrun names it."""

LEASH = "DLLM_RUN_LEASH"
"""Set for processes that are to save and stop when whoever started them is gone."""

JOB = "DLLM_RUN_JOB"
"""The launcher's name of the job that a process belongs to, `slurm:123_4`; not set where there is none."""
