"""The pages that explain diagnostics: one Markdown file a code, beside this one."""

import re
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent
_CODE = re.compile(r"[EW]\d{3}")
_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RELATED = "See also: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page: its language, the file that it stands for if it names one, and its text."""

    language: str
    file: str | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a code means, as Markdown."""

    code: str
    title: str
    text: str
    """The whole page."""

    @property
    def severity(self) -> str:
        """`error` or `warning`."""
        return "error" if self.code.startswith("E") else "warning"

    @property
    def related(self) -> tuple[str, ...]:
        """Codes that a reader may have meant."""
        lines = [line for line in self.text.splitlines() if line.startswith(RELATED)]
        return tuple(_CODE.findall(" ".join(lines)))

    def section(self, heading: str) -> str:
        """The text below a heading of the second level; empty where there is none."""
        found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |^{RELATED}|\Z)", self.text, re.MULTILINE | re.DOTALL)
        return found.group(1) if found else ""


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page or of a section, in order."""
    return [Block(language=language, file=file or None, text=body) for language, file, body in _FENCE.findall(text)]


def page_file(code: str) -> Path:
    """Where the page of a code is."""
    return _FOLDER / f"{code}.md"


def page(code: str) -> Page | None:
    """The page of a code, None where there is none."""
    file = page_file(code)
    if _CODE.fullmatch(code) is None or not file.is_file():
        return None
    text = file.read_text(encoding="utf-8")
    return Page(code=code, title=text.partition("\n")[0].removeprefix(f"# {code}: "), text=text)


def codes() -> tuple[str, ...]:
    """Every code that has a page, errors first."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.md") if _CODE.fullmatch(file.stem)))
