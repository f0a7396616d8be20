"""Quantisations through bitsandbytes. Every module has `build(word) -> transformers quantization config`."""
