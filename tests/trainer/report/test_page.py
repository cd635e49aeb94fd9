"""The page of a run as a browser shows it: whole and legible, light and dark, on a screen and on a phone."""

import dataclasses
import io

import numpy as np
import pytest
from browser import CONTRAST, needs_browser
from pages import EVALUATE, EVENTS, RECORD, TRAIN
from PIL import Image

from trainer.report.looks import COLOURS, Explained, Explanation, Look
from trainer.report.mistakes import ErrorAnalysis, Mistake
from trainer.report.page import render

pytestmark = needs_browser

NAME = "val/a class with a long name/and_a_file_whose_name_has_no_space_anywhere_0123456789.jpg"
CLASSES = ["airplane", "<dog>", *(f"a class with a long name, number {n}" for n in range(3, 13))]

# For each curve: how many pixels it exceeds its figure by, and the width of the figure.
CURVES = """
[...document.querySelectorAll("polyline")].map(line => {
  const own = line.getBoundingClientRect(), around = line.closest("svg").getBoundingClientRect();
  const over = Math.max(around.left - own.left, own.right - around.right, around.top - own.top,
                        own.bottom - around.bottom);
  return [over, around.width];
})
"""


# For each pair of pictures: how far one stands below the other, and both widths.
PAIRS = """
[...document.querySelectorAll(".pair")].map(pair => {
  const [image, over] = [...pair.children].map(each => each.getBoundingClientRect());
  return [over.top - image.top, image.width, over.width];
})
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a run with curves, times, twelve classes and pictures."""
    rng = np.random.default_rng(0)

    def picture(size):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (size, size, 3), np.uint8)).save(file, "PNG")
        return file.getvalue()

    confusion = rng.integers(0, 500, (len(CLASSES), len(CLASSES)))
    look = Look(overlay=picture(96), text="looked most at the upper left")
    mistakes = [
        Mistake(
            image=picture(size),
            truth=CLASSES[1],
            predicted=CLASSES[-1],
            probability=0.9,
            name=NAME,
            look=look,
        )
        for size in (8, 28, 300)
    ]
    top = [(name, 0.2) for name in CLASSES[:5]]
    looks = [Explained(name=NAME, image=picture(size), top=top, look=look) for size in (160, 192)]
    explanation = Explanation(method="Grad-CAM", pictures=looks, more=3)
    known = [row | {"mfu": 0.3, "hbm": 0.7} for row in TRAIN]
    record = dataclasses.replace(RECORD, metrics=[*known, *EVALUATE], events=EVENTS)
    path = tmp_path_factory.mktemp("page") / "report.html"
    analysis = ErrorAnalysis(class_names=CLASSES, confusion=confusion, mistakes=mistakes, method="Grad-CAM")
    path.write_text(render(record, analysis, explanation), encoding="utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_whole_and_legible(browser, page, width, dark):
    browser.open(page, width, dark)
    assert browser.problems == []
    assert browser.requests == [page.as_uri()]  # it loads nothing
    assert browser.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out
    browser.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    curves = browser.evaluate(CURVES)
    assert len(curves) == 8  # loss and accuracy twice, the rate, the speed, two shares
    assert all(over < 2 and wide > 300 for over, wide in curves), curves
    widths = browser.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert widths == [160, 96, 192, 96, 8, 96, 28, 96, 300, 96]
    # Each picture and where the network looked in it stand beside each other, in one size.
    pairs = browser.evaluate(PAIRS)
    assert len(pairs) == 5
    assert all(apart == 0 and wide == over and wide >= 90 for apart, wide, over in pairs), pairs
    assert browser.evaluate("document.querySelectorAll('.scale i').length") == 2
    texts = browser.evaluate(CONTRAST)
    assert {"a<b>&co", "airplane", "model.arch", "Loss"} <= {text for text, _ in texts}
    # 4.5 is what WCAG 2 wants of text of this size.
    assert [pair for pair in texts if pair[1] < 4.5] == []


def test_the_colours_of_a_map_rise_in_lightness():
    red, green, blue = (np.array([int(c[i : i + 2], 16) for c in COLOURS]) for i in (1, 3, 5))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    assert (np.diff(luma) > 15).all()


def test_dark_is_dark(browser, page):
    shades = []
    for dark in (False, True):
        browser.open(page, 1280, dark)
        shades.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert shades == ["rgb(246, 247, 249)", "rgb(20, 23, 27)"]


def test_the_bar_of_the_time_has_the_shares_of_the_table(browser, page):
    browser.open(page, 1280)
    parts = browser.evaluate(
        "[...document.querySelectorAll('.bar i')].map(i => i.getBoundingClientRect().width)"
    )
    cells = browser.evaluate(
        "[...document.querySelectorAll('.time tr')].slice(1, -1).map(row => row.lastChild.textContent)"
    )
    shares = [float(text.split()[0]) / 100 for text in cells]
    assert [part / sum(parts) for part in parts] == pytest.approx(shares, abs=0.01)


def test_what_is_broken_is_noticed(browser, page, tmp_path):
    """That the tests above can fail."""
    broken = page.read_text(encoding="utf-8")
    broken = broken.replace("<main", '<img src="https://example.com/a.png"><main', 1)
    broken = broken.replace("</main>", '<p style="width:5000px;color:#aaa">wide and pale</p></main>', 1)
    path = tmp_path / "broken.html"
    path.write_text(broken, encoding="utf-8")
    browser.open(path, 1280)
    assert browser.problems
    assert len(browser.requests) == 2
    assert browser.evaluate("document.documentElement.scrollWidth") > 1280
    assert dict(browser.evaluate(CONTRAST))["wide and pale"] < 4.5
