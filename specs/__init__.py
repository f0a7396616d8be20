"""The language of dllm-run: vocabulary, plan, store layout and errors. Standard library only."""
