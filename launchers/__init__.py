"""From a plan to where it runs. Each launcher renders text, which is pure, and has `submit`, `state` and `cancel` for what it sent off.

Those of Slurm are in `sbatch` and `queue`: text is needed by every compile, and submitit is not.
"""
