"""Stock architectures for models from scratch. Every module has `build(word) -> transformers config`, vocabulary size left open."""
