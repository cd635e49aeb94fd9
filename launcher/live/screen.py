"""The screen of `watch`: blocks where they fit, else a line per run and the block of the chosen one. Pure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from launcher.errors import printable
from launcher.live import figures
from launcher.live.view import View

STYLES = {
    "Running": "green",
    "Completed": "green",
    "Failed": "red",
    "Deleted": "red",
    "Deleting": "red",
    "Pending": "yellow",
    "Restarting": "yellow",
    "Starting": "yellow",
    "Queued": "cyan",
    "Suspended": "cyan",
    "Preempted": "cyan",
    "Stopped": "yellow",
}
QUIET = "dim"
NARROWEST, LOWEST = 20, 4  # columns and lines for which a screen is made; a smaller one shows part of it
NAME_WIDTH = 32
WHY_LINES = 3  # of a block


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What a screen is made for.

    Attributes:
      width, height: of the terminal, in characters.
      where: such as `namespace research`.
      chosen: name of the run whose block is shown where there is no room for all.
      unicode: whether the terminal has block characters.
      notes: sentences about the view itself.
      keys: whether the terminal sends keys.
    """

    width: int
    height: int
    where: str = ""
    chosen: str = ""
    unicode: bool = True
    notes: Sequence[str] = ()
    keys: bool = True


@dataclass(frozen=True)
class Column:
    """A column of the lines of runs; of a narrow terminal, those of a lower `rank` are shown."""

    title: str
    width: int
    rank: int
    text: Callable[[View, bool], str]
    right: bool = False


COLUMNS = (
    Column("phase", 10, 0, lambda view, _: view.phase),
    Column("done", 5, 1, lambda view, _: _percent_done(view), right=True),
    Column("", 14, 5, lambda view, unicode: "".join(figures.bar(view.share_done, 14, unicode))),
    Column("left", 10, 2, lambda view, _: figures.time_left(view).removesuffix(" left"), right=True),
    Column("loss", 7, 3, lambda view, _: figures.loss(view), right=True),
    Column("", 12, 8, lambda view, unicode: figures.sparkline(view.loss, 12, unicode)),
    Column("accuracy", 8, 4, lambda view, _: figures.accuracy(view.evaluation), right=True),
    Column("", 8, 9, lambda view, unicode: figures.sparkline(view.accuracy, 8, unicode)),
    Column("img/s/chip", 10, 6, lambda view, _: figures.short_rate(view), right=True),
    Column("wait", 5, 7, lambda view, _: figures.data_wait(view), right=True),
    Column("restarts", 8, 10, lambda view, _: str(view.restarts.total or ""), right=True),
    Column("slice", 16, 11, lambda view, _: _slices(view)),
)


def draw(views: Sequence[View], frame: Frame, now: float | None = None) -> Text:
    """Return the whole screen: `frame.height` lines of at most `frame.width` characters.

    Args:
      now: unix seconds; default: those of the clock.
    """
    now = time.time() if now is None else now
    width, height = max(frame.width, NARROWEST), max(frame.height, LOWEST)
    head, foot = [_head(views, frame, now), Text("")], _foot(views, frame, width)
    room = max(height - len(head) - len(foot), 0)
    blocks = [[*_block(view, width, frame.unicode, now), Text("")] for view in views]
    if sum(map(len, blocks)) - 1 <= room:
        lines = [line for block in blocks for line in block]
    else:
        lines = _list(views, frame, width, room, now)
    lines = lines[:room]
    lines += [Text("")] * (room - len(lines))
    whole = [*head, *lines, *foot][: frame.height]
    for line in whole:
        line.truncate(frame.width, overflow="ellipsis" if frame.unicode else "crop")
    return Text("\n").join(whole)


def page(views: Sequence[View], frame: Frame, now: float | None = None) -> Text:
    """Return the blocks of all runs, for a reader who scrolls; `frame.height` does not count."""
    now = time.time() if now is None else now
    blocks = [[Text(""), *_block(view, max(frame.width, NARROWEST), frame.unicode, now)] for view in views]
    return Text("\n").join([_head(views, frame, now), *(line for block in blocks for line in block)])


def neighbour(views: Sequence[View], chosen: str, move: int) -> str:
    """Return the name of the run that is `move` lines from the chosen one; the nearest end where it ends."""
    names = [view.name for view in views]
    if not names:
        return ""
    at = names.index(chosen) if chosen in names else 0
    return names[min(max(at + move, 0), len(names) - 1)]


def _head(views: Sequence[View], frame: Frame, now: float) -> Text:
    counts = Counter(view.phase for view in views)
    phases = ", ".join(f"{count} {phase.lower()}" for phase, count in counts.most_common())
    runs = f"{len(views)} run{'s' * (len(views) != 1)}" if views else "no runs"
    text = f"{runs} in {frame.where}" + (f": {phases}" if len(counts) > 1 else "")
    clock = time.strftime("%H:%M:%S", time.localtime(now))
    gap = max(frame.width - len(text) - len(clock), 2)
    return Text.assemble((printable(text), "bold"), " " * gap, (clock, QUIET))


def _foot(views: Sequence[View], frame: Frame, width: int) -> list[Text]:
    notes = [Text(printable(note), "yellow") for note in frame.notes]
    if not views:
        notes.append(Text("new runs appear here", QUIET))
    keys = "q ends   up and down choose a run" if frame.keys else "Ctrl-C ends"
    return [*notes, Text(keys[:width], QUIET)]


def _block(view: View, width: int, unicode: bool, now: float) -> Iterator[Text]:
    """Yield the lines about one run."""
    head = Text.assemble((printable(view.name), "bold"), "  ", (view.phase, STYLES.get(view.phase, "")))
    about = ", ".join(filter(None, (view.program, figures.hosts(view))))
    yield head.append(f"  {printable(about)}", QUIET)
    if view.progress:
        yield _progress(view, width, unicode)
        yield from _pair([_curve(view, name, width, unicode) for name in ("loss", "accuracy")], width)
    speed = [figures.rate(view)]
    if wait := figures.data_wait(view):
        speed.append(f"{wait} of the time waiting for data")
    money = figures.cost(view, now)
    facts = [", ".join(filter(None, speed))]
    if view.restarts.total:
        facts.append(f"restarts {figures.restarts(view)}")
    if money:
        facts.append(f"cost so far {money}")
    yield from _wrapped("   ".join(filter(None, facts)), width, 2)
    if slow := figures.slow(view):
        yield from _wrapped(slow, width, 2, "yellow")
    for text in view.why[:WHY_LINES]:
        yield from _wrapped(text, width, WHY_LINES, STYLES.get(view.phase, ""))


def _progress(view: View, width: int, unicode: bool) -> Text:
    share = _percent_done(view)
    text = "  ".join(filter(None, (figures.step(view), share, figures.time_left(view))))
    length = max(min(width - len(text) - 4, 60), 0)
    done, left = figures.bar(view.share_done, length, unicode)
    return Text.assemble("  ", (done, "green"), (left, QUIET), "  " if length else "", printable(text))


def _curve(view: View, name: str, width: int, unicode: bool) -> Text:
    """Return the sparkline of a curve with its newest value."""
    values = view.loss if name == "loss" else view.accuracy
    if name == "loss":
        newest = figures.loss(view)
    else:
        newest, best = figures.accuracy(view.evaluation), figures.accuracy(view.best)
        newest += f" (best {best})" if newest and best and best != newest else ""
    if not newest:
        return Text("")
    length = max(width // 2 - len(name) - len(newest) - 5, 8)
    line = figures.sparkline(values, min(length, 40), unicode)
    return Text.assemble((name, QUIET), " ", (line, "cyan"), " ", printable(newest))


def _pair(curves: Sequence[Text], width: int) -> Iterator[Text]:
    """Yield two texts side by side where they fit, else one below the other; empty ones are left out."""
    texts = [text for text in curves if text.plain]
    half, (first, second) = width // 2, curves
    if len(texts) == 2 and first.cell_len + 2 < half and second.cell_len < width - half:
        yield Text.assemble("  ", first, " " * (half - first.cell_len - 2), second)
    else:
        yield from (Text.assemble("  ", text) for text in texts)


def _list(views: Sequence[View], frame: Frame, width: int, room: int, now: float) -> list[Text]:
    """Return one line per run around the chosen one, and the block of that run."""
    names = [view.name for view in views]
    chosen = names.index(frame.chosen) if frame.chosen in names else 0
    block = list(_block(views[chosen], width, frame.unicode, now))
    if room - len(block) - 2 < min(len(views), 3):
        block = block[: max(room - 5, 0)]
    rows = max(room - len(block) - 2, 1)
    first = min(max(chosen - rows // 2, 0), max(len(views) - rows, 0))
    columns, name_width = _columns(views, width)
    lines = [_titles(columns, name_width)]
    for at in range(first, min(first + rows, len(views))):
        lines.append(_line(views[at], columns, name_width, frame.unicode, at == chosen))
    return [*lines, Text(""), *block]


def _columns(views: Sequence[View], width: int) -> tuple[list[Column], int]:
    """Return the columns for which there is room, and the width of the names."""
    name_width = min(max((len(view.name) for view in views), default=4), NAME_WIDTH, max(width // 3, 8))
    room, shown = width - name_width - 2, set[Column]()
    for column in sorted(COLUMNS, key=lambda column: column.rank):
        if column.width + 1 > room:
            break
        shown.add(column)
        room -= column.width + 1
    return [column for column in COLUMNS if column in shown], name_width


def _titles(columns: Sequence[Column], name_width: int) -> Text:
    titles = [_fit(column.title, column.width, column.right) for column in columns]
    return Text(f"  {'run':{name_width}} {' '.join(titles)}", QUIET)


def _line(view: View, columns: Sequence[Column], name_width: int, unicode: bool, chosen: bool) -> Text:
    line = Text.assemble(
        ("> " if chosen else "  "), (_fit(printable(view.name), name_width), "bold" if chosen else "")
    )
    for column in columns:
        style = STYLES.get(view.phase, "") if column.title == "phase" else ""
        line.append(" ")
        line.append(_fit(printable(column.text(view, unicode)), column.width, column.right), style)
    return line


def _fit(text: str, width: int, right: bool = False) -> str:
    """Return a text of exactly this width."""
    text = text if len(text) <= width else f"{text[: width - 1]}~"
    return text.rjust(width) if right else text.ljust(width)


def _wrapped(text: str, width: int, most: int, style: str = "") -> Iterator[Text]:
    """Yield a text in lines of this width, indented by two; at most `most` of them."""
    words, line, lines = printable(text).split(" "), "", list[str]()
    for word in words:
        if line and len(line) + 1 + len(word) > width - 2:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line.strip():
        lines.append(line)
    for at, shown in enumerate(lines[:most]):
        more = " ..." if at == most - 1 and len(lines) > most else ""
        yield Text(f"  {shown[: width - 2 - len(more)]}{more}", style)


def _percent_done(view: View) -> str:
    return "" if view.share_done is None else f"{int(100 * view.share_done)} %"


def _slices(view: View) -> str:
    return f"{view.slices}x{view.slice}" if view.slices > 1 else view.slice
