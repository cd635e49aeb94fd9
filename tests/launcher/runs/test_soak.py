"""A few seconds of the soak that bench/follow.py makes for five minutes."""

from pathlib import Path

import soak


def test_following_through_a_proxy_that_breaks_requests(tmp_path: Path) -> None:
    report = soak.soak(tmp_path, hosts=2, lines=500, seconds=5.0, seed=1, share=0.4)
    assert (report.lost, report.doubled, report.misplaced, report.hangs, report.wrong) == (0, 0, 0, 0, [])
    assert (report.codes["logs -f"], report.codes["wait"]) == ({0: 1}, {0: 1})
    assert sum(report.faults.values()) >= 10
