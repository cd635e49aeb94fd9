"""What a build tells a person while it works."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Shows stages and how far long ones are."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Begin a stage; `total` is the number of its bytes, None where it is not known."""
        ...

    def advance(self, amount: int) -> None:
        """Count bytes of the present stage; a negative amount takes back what is sent once more."""
        ...


def size_text(count: int) -> str:
    """Return a number of bytes for people: `812 bytes`, `14 kB`, `1.4 MB`, `3.1 GB`."""
    if count < 1000:
        return f"{count} bytes"
    for unit, scale in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if count < 999.5 * scale:
            return f"{count / scale:.{0 if unit == 'kB' or count >= 99.5 * scale else 1}f} {unit}"
    return f"{count / 1e9:.0f} GB"
