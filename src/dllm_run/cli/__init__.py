"""The command line: one file per verb. The only layer that knows all the others."""
