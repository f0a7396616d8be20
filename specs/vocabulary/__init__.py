"""Every word that a spec may contain, as frozen dataclasses. One folder a family, one file a word."""
