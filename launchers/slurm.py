"""Slurm: text in `slurm_scripts`, sending through submitit in `sbatch`, questions and ends in `queue`."""

from .queue import cancel, state
from .sbatch import submit
from .slurm_scripts import render

__all__ = ["cancel", "render", "state", "submit"]
