"""The board as a browser shows it: whole and legible, and what its table, filter and boxes do."""

import board_runs
import pytest
from browser import CONTRAST, needs_browser

from trainer.board import collection, page

pytestmark = needs_browser

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
CELLS = "[...document.querySelectorAll('#runs tbody tr')].map(row => row.children[1].textContent)"


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    for number in range(9):
        settings = {"optim__lr": 0.1 * (1 + number // 3), "train__seed": number % 3}
        accuracy = 0.5 + number / 20
        board_runs.make(folder / "runs" / "sweep" / f"r{number}", f"r{number}", accuracy, **settings)
    board_runs.make(folder / "runs" / "hostile", HOSTILE, 0.1, report=False)
    (folder / "runs" / "torn").mkdir()
    (folder / "runs" / "torn" / "config.json").write_text("{")
    rows = [
        row | {"cost": 1.5, "chips": 4, "chip_hours": 0.04}
        for row in collection.collect([str(folder / "runs")], cached=False)
    ]
    path = folder / "board.html"
    path.write_text(page.render(rows, "runs & <more>", page.links(rows, str(folder))), encoding="utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_whole_and_legible(browser, board, width, dark):
    browser.open(board, width, dark)
    assert browser.problems == []
    assert browser.requests == [board.as_uri()]  # it loads nothing
    assert browser.evaluate("document.title") == "runs & <more>"  # no text of a run became code
    assert browser.evaluate("document.documentElement.scrollWidth") <= width  # wide tables scroll inside
    texts = browser.evaluate(CONTRAST)
    assert {"r8", HOSTILE, "Test accuracy", "Mean over seeds"} <= {text for text, _ in texts}
    assert [pair for pair in texts if pair[1] < 4.5] == []


def test_the_table_is_sorted_and_filtered(browser, board):
    browser.open(board, 1280)
    best = [f"r{number}" for number in reversed(range(9))]
    assert browser.evaluate(CELLS) == [*best, HOSTILE, "torn"]  # what has no accuracy comes last
    click = "[...document.querySelectorAll('#runs thead button')].find(b => b.textContent === '{}').click()"
    browser.evaluate(click.format("best accuracy"))
    assert browser.evaluate(CELLS) == [HOSTILE, *reversed(best), "torn"]
    assert browser.evaluate("document.querySelectorAll('[aria-sort=ascending]').length") == 1
    assert browser.evaluate("document.activeElement.textContent") == "best accuracy"
    browser.evaluate(click.format("name"))
    assert browser.evaluate(CELLS) == [HOSTILE, *sorted(best), "torn"]
    find = (
        "(() => {{ const field = document.getElementById('filter'); field.value = '{}';"
        "field.dispatchEvent(new Event('input')); }})()"
    )
    browser.evaluate(find.format("SWEEP seed=1 finished"))
    assert browser.evaluate(CELLS) == ["r1", "r4", "r7"]
    browser.evaluate(find.format("nothing"))
    assert browser.evaluate("document.getElementById('summary').textContent") == (
        "0 of 11 runs, 1 of them could not be read whole"
    )


def test_the_chosen_runs_are_compared(browser, board):
    browser.open(board, 1280)
    curves = "document.querySelectorAll('#charts polyline').length"
    heads = "[...document.querySelectorAll('#settings thead th')].map(cell => cell.textContent)"
    rows = "[...document.querySelectorAll('#settings tbody tr')].map(row => row.textContent)"
    assert browser.evaluate(curves) == 5 * 4  # the best five, four charts
    assert browser.evaluate(heads) == ["setting", "r8", "r7", "r6", "r5", "r4"]
    assert len(browser.evaluate(rows)) == 2
    tick = "document.querySelectorAll('#runs tbody input')[{}].click()"
    for place in (0, 1, 2):  # r8, r7 and r6 are left out: r5 and r4 remain, which differ in their seed
        browser.evaluate(tick.format(place))
    assert browser.evaluate(rows) == ["train.seed21"]
    assert browser.evaluate("document.activeElement.getAttribute('aria-label')") == "curves of r6"
    browser.evaluate("document.getElementById('clear').click()")
    assert browser.evaluate(curves) == 0
    for place in range(9):
        browser.evaluate(tick.format(place))
    assert browser.evaluate("document.querySelectorAll('#runs input:checked').length") == 8
    colours = (
        "new Set([...document.querySelectorAll('#legend i')].map(i => getComputedStyle(i).backgroundColor))"
    )
    assert browser.evaluate(f"{colours}.size") == 8


def test_keys_and_axes(browser, board):
    browser.open(board, 1280)
    browser.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: '/', bubbles: true}))")
    assert browser.evaluate("document.activeElement.id") == "filter"
    browser.evaluate(
        "(() => { const axis = document.getElementById('axis'); axis.value = '1';"
        "axis.dispatchEvent(new Event('change')); })()"
    )
    assert browser.evaluate("document.querySelector('#charts svg .axis:last-of-type').textContent") == "epoch"


def test_the_means_stand_below(browser, board):
    browser.open(board, 1280)
    rows = browser.evaluate(
        "[...document.querySelectorAll('#means tbody tr')]"
        ".map(row => [...row.children].map(cell => cell.textContent).slice(-4))"
    )
    assert rows == [
        ["optim.lr=0.3", "3", "85.00 %", "5.00 %"],
        ["optim.lr=0.2", "3", "70.00 %", "5.00 %"],
        ["optim.lr=0.1", "3", "55.00 %", "5.00 %"],
    ]
