"""The pictures of the documentation: used, described, whole, and legible on light and dark pages."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from markdown_pages import CHECKOUT, pages, read

IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
FOLDER = CHECKOUT / "docs/images"
SVG = "{http://www.w3.org/2000/svg}"
DRAWINGS = sorted(path.name for path in FOLDER.glob("*.svg"))


def test_each_picture_stands_on_a_page_with_a_description() -> None:
    shown = {
        ((CHECKOUT / page).parent / target).resolve(): text
        for page in pages()
        for text, target in IMAGE.findall(read(page))
    }
    assert {path.resolve() for path in FOLDER.iterdir()} <= set(shown)
    assert [str(path) for path, text in shown.items() if len(text.split()) < 4] == []


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_bring_their_own_background_and_load_nothing(name: str) -> None:
    check(ElementTree.parse(FOLDER / name).getroot())


def check(drawing: ElementTree.Element) -> None:
    """Check an SVG: it fetches nothing, and has a filled rectangle as wide as the drawing."""
    text = ElementTree.tostring(drawing, encoding="unicode")
    assert re.findall(r"(?:href|url)\W*\"?(?:https?:|//|data:)[^\s\"')]*", text) == []
    left, _, width, _ = map(float, (drawing.get("viewBox") or "").split())
    backgrounds = [
        rectangle
        for rectangle in drawing.iter(f"{SVG}rect")
        if rectangle.get("fill") and float(rectangle.get("width") or 0) >= 0.98 * (width - left)
    ]
    assert backgrounds, "texts would lie on the page's own colour"


def test_a_terminal_is_drawn_as_it_is(tmp_path: Path) -> None:
    program = CHECKOUT / "tools/terminal_picture.py"
    commands = ["printf 'phase   Running\\nloss    <2.3 & falling>\\n'", "echo warned >&2"]
    done = subprocess.run([sys.executable, program, *commands], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    drawing = ElementTree.fromstring(done.stdout)
    check(drawing)
    lines = "".join(drawing.itertext()).replace("\xa0", " ")
    assert "phase   Running" in lines
    assert "loss    <2.3 & falling>" in lines
    assert "warned" in lines
    assert subprocess.run([sys.executable, program, "false"], capture_output=True).returncode == 1
