"""Task files of lm-eval for the seven tasks of the published scripts that lm-eval does not have, and what they call."""
