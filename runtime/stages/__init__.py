"""Kinds of stages. Every module has `run(context) -> results`, a JSON map; outputs go into the stage's entry of the store."""
