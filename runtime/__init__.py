"""One stage of a frozen plan to tensors: the only place with torch and transformers."""
