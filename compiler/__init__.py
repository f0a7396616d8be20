"""Text to plan: a pure function of spec, flags, lock and this compiler's version. Never imports torch."""
