"""Which texts are templates."""

_BRACES = ("{{", "{%", "{#")


def is_template(text: object) -> bool:
    """Whether a text has parts to be filled in, as Jinja writes them."""
    return isinstance(text, str) and any(brace in text for brace in _BRACES)
