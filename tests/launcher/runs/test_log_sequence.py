"""A log over many connections: each line once, by its place and content, whatever its time says."""

import random

import pytest

from launcher.runs.log_sequence import Sequence, stamped


def connect(sequence: Sequence, *lines: str, since: str | None = None) -> list[str]:
    """Return the texts that one connection with these lines brings."""
    sequence.reopen(since)
    entries = [stamped(line) for line in lines]
    return [new.text for entry in entries if entry for new in sequence.new(entry)]


def at(second: int, text: str) -> str:
    return f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.5Z {text}"


@pytest.mark.parametrize(
    ("first", "second", "new"),
    [
        ([at(1, "a")], [at(1, "a"), at(1, "b"), at(2, "c")], ["b", "c"]),  # the clock stands still
        ([at(9, "a")], [at(9, "a"), at(3, "b"), at(4, "c")], ["b", "c"]),  # it is set back
        ([at(1, "a")], [at(1, "a"), at(1, "a")], ["a"]),  # an equal line
        ([at(1, "a"), at(1, "a")], [at(1, "a"), at(1, "a"), at(1, "a")], ["a"]),
        ([at(1, "a"), at(2, "b")], [at(2, "b"), at(3, "c")], ["c"]),  # the log was rotated
        ([at(1, "a"), at(2, "b")], [at(7, "c")], ["c"]),
        ([at(1, "a"), at(1, "b"), at(1, "a"), at(1, "c")], [at(1, "a"), at(1, "c"), at(1, "d")], ["d"]),
        ([at(1, "a"), at(2, "b")], [at(1, "a")], []),  # it broke off while it repeated
        ([], [at(1, "a")], ["a"]),
    ],
)
def test_a_second_connection(first: list[str], second: list[str], new: list[str]) -> None:
    sequence = Sequence()
    assert len(connect(sequence, *first)) == len(first)
    assert connect(sequence, *second) == new


def test_a_connection_that_broke_off_while_it_repeated_lines_has_not_caught_up() -> None:
    sequence = Sequence()
    connect(sequence, at(1, "a"), at(2, "b"))
    connect(sequence, at(1, "a"))
    assert not sequence.has_caught_up()
    connect(sequence, at(1, "a"), at(2, "b"))
    assert sequence.has_caught_up()


def test_lines_before_the_tail_that_was_asked_for_stay_out() -> None:
    sequence = Sequence(partial=True)
    assert connect(sequence, at(7, "y"), at(8, "z")) == ["y", "z"]
    since = sequence.since()
    assert since == "2026-01-01T00:00:07Z"
    assert connect(sequence, at(7, "w"), at(7, "x"), at(7, "y"), at(8, "z"), at(9, "+"), since=since) == ["+"]


def test_a_server_that_sends_the_whole_log_again_after_a_long_time() -> None:
    sequence = Sequence()
    lines = [at(second, f"line {second}") for second in range(0, 3000, 10)]
    assert len(connect(sequence, *lines)) == 300
    assert connect(sequence, *lines, at(3001, "new"), since=sequence.since()) == ["new"]


@pytest.mark.parametrize("seed", range(20))
def test_random_breaks_lose_and_double_nothing(seed: int) -> None:
    """Clocks that stand still or step back, equal lines, connections that end anywhere."""
    dice = random.Random(seed)
    second, log = 100, []
    for _ in range(300):
        second += dice.choice([0, 0, 0, 0, 1, 2, -3])
        log.append(at(second, dice.choice(["loss=1", "loss=2", f"step={len(log)}"])))
    sequence, read, written = Sequence(), [], 0
    while len(read) < len(log):
        written = min(len(log), written + dice.randrange(40))
        since = sequence.since()
        first = stamped(since) if since else None
        offered = [line for line in log[:written] if not first or stamped(line).at >= first.at]
        sent = dice.choice([len(offered), dice.randrange(len(offered) + 1)])
        read += connect(sequence, *offered[:sent], since=since)
        assert read == [line.partition(" ")[2] for line in log[: len(read)]]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "text",
        "2026-01-01",
        "failed to create fsnotify watcher",
        "2026-13-01T00:00:00Z x",
        "<html>",
        "T" * 40,
    ],
)
def test_what_has_no_time_is_no_line(line: str) -> None:
    assert stamped(line) is None


def test_times_of_any_zone_and_precision() -> None:
    times = [
        "2026-01-01T02:00:01.5+02:00 a",
        "2026-01-01T00:00:01.500000000Z a",
        "2025-12-31T23:00:01.5-01:00 a",
    ]
    assert {stamped(line).at for line in times} == {1767225601 * 10**9 + 5 * 10**8}
    assert stamped("2026-01-01T00:00:01Z").text == ""
