"""Computed data sets. Every module has `build(word) -> list of rows`, a row being a map of column to text."""
