"""What ends a stage with a sentence for the user instead of a traceback."""


class Failure(Exception):
    """The stage cannot go on; the message says what, where, and what would be right."""
