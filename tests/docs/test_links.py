"""Every link, path, flag and setting that the documentation names exists."""

import re
from urllib.parse import urlsplit

import pytest
from markdown_pages import CHECKOUT, anchors, inline_code, links, pages, read

PATH = re.compile(r"^(?:bench|docs|helm|launcher|manifests|tests|tools|trainer)/[\w./*-]*$")
TEST = re.compile(r"^(?:\w+/)*test_\w+\.py$")


@pytest.mark.parametrize("page", pages())
def test_links(page: str) -> None:
    assert [link for link in links(page) if not exists(page, link)] == []


def exists(page: str, link: str) -> bool:
    """Whether a relative link leads to a file and a heading, or an external one is well-formed."""
    if link.startswith(("http://", "https://")):
        return bool(urlsplit(link).hostname) and " " not in link
    path, _, anchor = link.partition("#")
    target = (CHECKOUT / page).parent / path if path else CHECKOUT / page
    if not target.exists():
        return False
    return not anchor or anchor in anchors(str(target.resolve().relative_to(CHECKOUT)))


@pytest.mark.parametrize("page", [page for page in pages() if page != "CHANGELOG.md"])
def test_paths(page: str) -> None:
    """Paths in code style are those of the checkout; tests may be named as they lie in tests/trainer."""
    named = [name for name in inline_code(page) if PATH.match(name) or TEST.match(name)]
    named = [name for name in named if "NAME" not in name]
    missing = [n for n in named if not any((*CHECKOUT.glob(n), *CHECKOUT.glob(f"tests/trainer/{n}")))]
    assert missing == []


def test_every_page_is_reached_from_the_index() -> None:
    reached, waiting = set(), ["docs/index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        relative = (link.partition("#")[0] for link in links(page) if "://" not in link)
        targets = (((CHECKOUT / page).parent / path).resolve() for path in relative if path.endswith(".md"))
        waiting += [str(target.relative_to(CHECKOUT)) for target in targets if target.exists()]
    assert [page for page in pages() if page.startswith("docs/") and page not in reached] == []


def test_the_index_is_reached_from_the_readme() -> None:
    assert "docs/index.md" in links("README.md")
    assert len(read("README.md").splitlines()) <= 120


def test_code_names_pages_that_exist() -> None:
    """Hints, comments and docstrings name pages of docs/ too."""
    sources = [
        path
        for folder in ("launcher", "trainer", "tools", "bench", "helm", "tests", ".github")
        for path in (CHECKOUT / folder).rglob("*")
        if path.is_file() and path.suffix in (".py", ".yaml", ".yml", ".tpl", ".txt", ".json", ".sh")
    ]
    named = {
        (str(path.relative_to(CHECKOUT)), page)
        for path in (*sources, CHECKOUT / "Makefile")
        for page in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert named
    assert [pair for pair in sorted(named) if not (CHECKOUT / pair[1]).exists()] == []
