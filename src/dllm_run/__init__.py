"""dllm-run: a diffusion language model experiment is one YAML file."""

__version__ = "0.1.0"
