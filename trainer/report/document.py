"""A self-contained page: its head, its style sheet and its body."""

from html import escape
from pathlib import Path

STYLE = Path(__file__).with_name("report.css")


def document(title: str, body: str) -> str:
    """Return a page as HTML.

    Args:
      title: its title, plain text.
      body: HTML.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )
