"""`resnet-launch watch [NAME…]`: a live view of many runs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import click

from launcher.check import prices
from launcher.check.prices import Prices
from launcher.cli import options, target, terminal
from launcher.errors import Problem, RequestError, printable
from launcher.live.lines import Lines, line
from launcher.live.terminal import Keyboard, Wakeups, screen, stop
from launcher.live.view import View
from launcher.request import kubernetes_names

DRAW_SECONDS = 1.0  # between two drawings at least, except after a key or a resize
CLOCK_SECONDS = 10.0  # between two drawings at most: cost and clock go on
PAGE = 10  # runs that a page key moves by
MOVES = {"up": -1, "down": 1, "page up": -PAGE, "page down": PAGE, "first": -(1 << 30), "last": 1 << 30}

PARAMS = [
    click.Argument(["names"], nargs=-1, metavar="[NAME …]"),
    click.Option(
        ["--local"],
        is_flag=True,
        help="follow runs of this machine; NAME is then a folder with runs, or of one; `runs` if not given",
    ),
    click.Option(
        ["--price"], metavar="PRICE", help="price of one chip per hour, as for `check`; adds the cost so far"
    ),
    *target.flags(),
    click.Option(
        ["--json", "as_json"], is_flag=True, help="print a JSON document per run and change, one per line"
    ),
]


class Feed(Protocol):
    """Where the runs come from."""

    error: BaseException | None

    def open(self) -> None: ...

    def close(self) -> None: ...

    def views(self) -> list[View]: ...

    def notes(self) -> list[str]: ...


@click.command("watch", cls=options.Command, params=PARAMS, example="resnet-launch watch")
def command(
    names: tuple[str, ...],
    local: bool,
    price: str | None,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Follow runs on the screen: phase, progress, loss, accuracy, speed, restarts and cost.

    Without NAME it follows all runs that are not over, and those that come. With NAME it ends when they are
    over. On a terminal, q ends it, and the arrow keys choose the run of which all is shown. Elsewhere it
    prints a line when a run changes.
    """
    chip_prices = prices.read(price)
    wakeups = Wakeups()
    if local:
        _refuse(context=context, kubeconfig=kubeconfig, namespace=namespace)
        feed, where = _of_folders(names or ("runs",), chip_prices, wakeups.wake)
    else:
        feed, where = _of_cluster(names, chip_prices, wakeups.wake, context, kubeconfig, namespace)
    with wakeups.on_signals():
        feed.open()
        try:
            _show(feed, where, bool(names), as_json, wakeups)
        finally:
            feed.close()


def _of_folders(names: tuple[str, ...], chip_prices: Prices, wake: Callable[[], None]) -> tuple[Feed, str]:
    from launcher.live.folder_feed import FolderFeed

    return FolderFeed([*dict.fromkeys(names)], chip_prices, wake), ", ".join(dict.fromkeys(names))


def _of_cluster(
    names: tuple[str, ...],
    chip_prices: Prices,
    wake: Callable[[], None],
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
) -> tuple[Feed, str]:
    checked = [options.check("name", kubernetes_names.run, name) for name in dict.fromkeys(names)]
    from launcher.live.cluster_feed import ClusterFeed

    cluster = target.cluster(context, kubeconfig, namespace)
    return ClusterFeed(cluster, checked, chip_prices, wake), f"namespace {cluster.namespace}"


def _refuse(**flags: str | None) -> None:
    """Raise RequestError for flags of a cluster beside --local."""
    problems = [
        Problem(flag, f"must be left out with --local, got {value!r}", "resnet-launch watch --local")
        for flag, value in flags.items()
        if value
    ]
    if problems:
        raise RequestError(*problems)


def _show(feed: Feed, where: str, ends: bool, as_json: bool, wakeups: Wakeups) -> None:
    """Show the runs until the reader ends it, or all are over where `ends` is set."""
    stream = terminal.raw(sys.stdout)
    if as_json or not stream.isatty() or os.environ.get("TERM", "") in ("", "dumb", "unknown"):
        _print(feed, where, ends, as_json, wakeups)
        return
    from rich.console import Console

    console = Console(file=stream)
    with Keyboard() as keyboard, wakeups.on_stop(), screen(console) as draw:
        _redraw(feed, where, ends, wakeups, keyboard, console, draw)
    from launcher.live import screen as drawing

    views = feed.views()
    if ends and all(view.is_over for view in views):  # what they came to stays in the terminal
        frame = drawing.Frame(
            width=console.width, height=console.height, where=where, unicode=_has_unicode(stream)
        )
        console.print(drawing.page(views, frame), no_wrap=True, highlight=False)


def _redraw(
    feed: Feed,
    where: str,
    ends: bool,
    wakeups: Wakeups,
    keyboard: Keyboard,
    console: Any,
    draw: Callable[[Any], None],
) -> None:
    from launcher.live import screen as drawing

    chosen, unicode = "", _has_unicode(console.file)
    at, pressed = 0.0, False
    while True:
        views = feed.views()
        if feed.error:
            raise feed.error
        frame = drawing.Frame(
            width=console.width,
            height=console.height,
            where=where,
            chosen=chosen,
            unicode=unicode,
            notes=feed.notes(),
            keys=keyboard.descriptor is not None,
        )
        draw(drawing.draw(views, frame))
        at = time.monotonic()
        if wakeups.ended or (ends and views and all(view.is_over for view in views)):
            return
        pressed = wakeups.wait(CLOCK_SECONDS, keyboard.descriptor)
        while (
            not (pressed or wakeups.ended or wakeups.resized or wakeups.stopped)
            and time.monotonic() - at < DRAW_SECONDS
        ):
            pressed = wakeups.wait(DRAW_SECONDS - (time.monotonic() - at), keyboard.descriptor)
        if wakeups.stopped:
            wakeups.stopped = False
            stop(console, keyboard)
        if wakeups.resized:
            wakeups.resized = False
            keyboard.take()
        if pressed:
            key = keyboard.read()
            if key == "end":
                return
            chosen = drawing.neighbour(views, chosen, MOVES.get(key, 0))


def _print(feed: Feed, where: str, ends: bool, as_json: bool, wakeups: Wakeups) -> None:
    """Print a line when a run changes."""
    lines, first = Lines(), True
    while True:
        views = feed.views()
        if feed.error:
            raise feed.error
        for note in lines.new_notes(feed.notes()):
            click.echo(printable(note), err=True)
        if first and not views:
            click.echo(f"no runs in {where}: new ones appear here, Ctrl-C ends", err=True)
        first = False
        for view in lines.changed(views, time.monotonic()):
            text = json.dumps(view.document()) if as_json else _stamped(line(view, time.time()))
            click.echo(text)
        sys.stdout.flush()
        if wakeups.ended or (ends and views and all(view.is_over for view in views)):
            return
        wakeups.wait(CLOCK_SECONDS)
        if not wakeups.ended:
            time.sleep(0.1)  # what comes at the same time is one change


def _stamped(text: str) -> str:
    return f"{time.strftime('%H:%M:%S')} {printable(text)}"


def _has_unicode(stream: Any) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().startswith("utf")
