"""Every relative link of README and docs leads to a file, and to a heading where it names one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data_lake/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
START = ROOT / "docs/index.md"

_LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
_CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[tuple[Path, str]]:
    """Return the file and the anchor of each relative link."""
    text = _CODE.sub("", page.read_text("utf-8"))
    targets = [link or picture for link, picture in _LINK.findall(text)]
    relative = [target.partition("#") for target in targets if not re.match(r"[a-z]+:", target)]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in relative]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found[anchor] = found.get(anchor, 0) + 1
    repeated = {f"{anchor}-{number}" for anchor, count in found.items() for number in range(1, count)}
    return found.keys() | repeated


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    missing = [str(path.relative_to(ROOT)) for path, _ in links(page) if not path.exists()]
    assert missing == []
    lost = [(path.name, anchor) for path, anchor in links(page) if anchor and anchor not in anchors(path)]
    assert lost == []


def test_anchors_are_those_of_github(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Any network of timm, open_clip or `x`\n\n```sh\n# none\n```\n\n## A, B\n\n## A, B\n")
    assert anchors(page) == {"any-network-of-timm-open_clip-or-x", "a-b", "a-b-1"}
    page.write_text("[a](none.md#x) `[b](c)` [d](https://e)\n")
    assert links(page) == [(tmp_path / "none.md", "x")]


QUESTIONS = {
    "search by words, with CLIP": "guides/search.md#by-words",
    "evaluate by labels of my own": "guides/evaluate-and-tune.md#labels-of-your-own",
    "move a lake": "guides/your-photos.md#moving-a-lake",
    "use my own ONNX network": "extend/model.md#onnx",
    "remove duplicates, and undo it": "guides/duplicates.md#plans-and-undo",
    "backfill in Dagster": "guides/dagster.md#backfill-partitions",
    "keep photos in S3": "guides/object-stores.md",
    "know what a score means": "explanation/concepts.md#what-a-score-means",
    "know why a file failed": "troubleshooting.md#a-file-failed",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_frequent_question_is_one_click_from_the_start(question):
    path, _, anchor = QUESTIONS[question].partition("#")
    assert (START.parent / path, anchor) in links(START)


def test_every_page_is_at_most_two_clicks_from_the_start():
    near = {START}
    for _ in range(2):
        near |= {path for page in near if page.suffix == ".md" for path, _ in links(page)}
    assert [str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md") if page not in near] == []
    assert START in {path for path, _ in links(ROOT / "README.md")}
