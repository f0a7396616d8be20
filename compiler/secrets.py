"""Texts that look like secrets. They are refused where they are read, before anything could copy them into a plan or a log."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_KINDS: Final = {
    "a token of Hugging Face": r"hf_[A-Za-z0-9]{16,200}",
    "an API key": r"(?:sk|pk|rk)-[A-Za-z0-9_-]{20,200}|AIza[A-Za-z0-9_-]{30,60}",
    "a token of GitHub or GitLab": r"(?:gh[pousr]_|github_pat_|glpat-)[A-Za-z0-9_-]{16,200}",
    "a key of AWS": r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    "a token of Slack": r"xox[abprs]-[A-Za-z0-9-]{10,200}",
    "a private key": r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----",
}
_BY_NAME = (
    r"(?i:passw(?:or)?d|passphrase|secret|api_?key|credentials?)[\w-]{0,40}[\"']?\s{0,4}[:=]\s{0,4}[\"']?"
    r"(?P<named>[^\s\"',}\]#$<{\[]{4,200})"
)
# Many harmless words end in `token`: there the value must look as if it had been drawn.
_BY_TOKEN = (
    r"(?i:token)[\"']?\s{0,4}[:=]\s{0,4}[\"']?"
    r"(?P<token>(?=[A-Za-z_+/=.-]{0,100}[0-9])(?=[0-9_+/=.-]{0,100}[A-Za-z])[A-Za-z0-9_+/=.-]{16,200})"
)
_IN_URL = r"://[^\s/:@]{1,80}:(?P<url>[^\s/@$]{1,80})@"
_SECRET: Final = re.compile(
    "|".join([*(rf"(?<![A-Za-z0-9])(?P<kind{number}>{form})" for number, form in enumerate(_KINDS.values())), _BY_NAME, _BY_TOKEN, _IN_URL])
)
_NAMED = {"named": "a secret, by its name", "token": "a token", "url": "a password in an address"}


class Secret(NamedTuple):
    """A part of a text that looks like a secret."""

    start: int
    end: int
    what: str


def secrets_in(text: str) -> Iterator[Secret]:
    """Everything in a text that looks like a secret, comments included."""
    kinds = list(_KINDS)
    for match in _SECRET.finditer(text):
        group = match.lastgroup
        assert group is not None
        what = kinds[int(group.removeprefix("kind"))] if group.startswith("kind") else _NAMED[group]
        yield Secret(match.start(group), match.end(group), what)
