"""Prices of chips, as a person types them: one for all, or one per generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from launcher.errors import Problem, RequestError, closest
from launcher.hardware import facts
from launcher.hardware.slices import Slice

FORM = "a number above zero, or one per generation"
EXAMPLE = "--price 3.22, or --price v5e=1.2,v6e=2.7"
HIGHEST = 1e6


@dataclass(frozen=True)
class Prices:
    """The price of one chip per hour, in any currency, by generation; `every` holds for those not named."""

    every: float | None = None
    by_generation: Mapping[str, float] = field(default_factory=dict[str, float])

    def of(self, shape: Slice) -> float | None:
        """Return the price of one chip of a slice per hour; None where it is not known."""
        return self.by_generation.get(shape.generation, self.every)


def read(text: str | None) -> Prices:
    """Read `3.22` or `v5e=1.2,v6e=2.7`; other names of a generation, such as v5litepod, are understood.

    Raises:
      RequestError: a price is no number above zero, or no generation has such a name.
    """
    if text is None:
        return Prices()
    if "=" not in text:
        return Prices(every=_number(text, text))
    names = facts.aliases(facts.generations())
    prices: dict[str, float] = {}
    for entry in text.split(","):
        name, _, price = (part.strip() for part in entry.partition("="))
        generation = names.get(name.lower())
        if generation is None or generation in prices:
            twice = "once each" if generation else "of the catalogue"
            hint = closest(name, names) or "resnet-launch slices lists the generations"
            raise RequestError(Problem("price", f"must name generations {twice}, got {name!r}", hint))
        prices[generation] = _number(price, entry)
    return Prices(by_generation=prices)


def _number(text: str, shown: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = 0.0
    if not 0 < price < HIGHEST:
        raise RequestError(Problem("price", f"must be {FORM}, got {shown.strip()!r}", EXAMPLE))
    return price
