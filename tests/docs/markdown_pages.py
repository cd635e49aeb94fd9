"""The pages of the documentation: their code blocks, links, anchors and inline code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def pages() -> list[str]:
    """Return every page, relative to the checkout, in the order in which tests run them."""
    patterns = ("*.md", "docs/**/*.md", "examples/*/README.md", "helm/*/README.md")
    return sorted(str(p.relative_to(CHECKOUT)) for pattern in patterns for p in CHECKOUT.glob(pattern))


def read(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, *languages: str) -> list[Block]:
    """Return the fenced blocks of a page in these languages; of all languages if none is named."""
    text = read(page)
    found = [
        Block(page, text[: match.start()].count("\n") + 1, match[1], match[2])
        for match in FENCE.finditer(text)
    ]
    return [block for block in found if not languages or block.language in languages]


def prose(page: str) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", read(page))


def links(page: str) -> list[str]:
    return LINK.findall(INLINE.sub("", prose(page)))


def inline_code(page: str) -> list[str]:
    return INLINE.findall(prose(page))


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(block: Block) -> Iterator[str]:
    """Yield the command lines of a shell block, without comments and with continued lines joined."""
    for line in block.text.replace("\\\n", " ").splitlines():
        command = re.sub(r"(^|\s)#.*$", "", line).strip()
        if command:
            yield command
