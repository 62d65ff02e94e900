"""The site of docs/: its navigation has every page, and the built pages have no dead link and need no other server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.test_links import START, links

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
DOCS = ROOT / CONFIG["docs_dir"]


def navigation(entries: list) -> Iterator[str]:
    """Yield the pages of the navigation in its order."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from navigation(below)


def test_navigation_has_every_page_once():
    pages = list(navigation(CONFIG["nav"]))
    assert sorted(pages) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_sections_of_the_navigation_are_those_of_the_index():
    headings = re.findall(r"^## (.+)$", START.read_text("utf-8"), re.MULTILINE)
    assert [name for entry in CONFIG["nav"][1:] for name in entry] == headings


def test_index_links_to_every_page_of_the_navigation():
    linked = {str(path.relative_to(DOCS)) for path, _ in links(START)}
    assert [page for page in navigation(CONFIG["nav"][1:]) if page not in linked] == []


def test_site_is_built_in_a_folder_that_git_ignores():
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert Path(CONFIG["site_dir"]).parts[0] + "/" in ignored


class Page(HTMLParser):
    """The anchors of a page, its links, and what a browser loads with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and "href" in given:
            self.loaded.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("zensical", reason="imrec[site] is not installed")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / CONFIG["docs_dir"])
    shutil.copy(ROOT / "zensical.toml", folder)
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / CONFIG["site_dir"]


def test_every_page_is_built(site):
    pages = {f"{page.removesuffix('.md')}.html" for page in navigation(CONFIG["nav"])}
    assert {str(path.relative_to(site)) for path in site.rglob("*.html")} - {"404.html"} == pages


def test_links_of_the_built_pages_lead_somewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    dead = []
    for path, page in pages.items():
        for link in (*page.links, *page.loaded):
            target, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            file = (path.parent / unquote(target)).resolve() if target else path
            if not file.is_file() or (anchor and file in pages and unquote(anchor) not in pages[file].anchors):
                dead.append((str(path.relative_to(site)), link))
    assert dead == []


def test_pages_load_nothing_from_other_servers(site):
    assert {link for path in site.rglob("*.html") for link in Page(path).loaded if "//" in link} == set()
    assert [
        path.name for path in site.rglob("*.css") if re.search(r"url\([\"']?https?:", path.read_text("utf-8"))
    ] == []
