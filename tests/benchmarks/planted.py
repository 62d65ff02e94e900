"""Faults and wrong labels planted among photos: how many `issues` and `label-issues` find, and what else they name."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from imrec_core.curation.issues import find_issues
from imrec_core.curation.label_issues import find_label_issues
from imrec_core.evaluation.labels import folder_labels
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed, build_plainly

_PLANTED, _SEED, _WRONG = "planted", 11, 59
Edit = Callable[[Image.Image], Image.Image]


def measure(work: Testbed) -> list[Row]:
    """Planted files found by the issue that they should have, photos named, and wrong labels found."""
    lake = work.new_lake("lake-planted", work.photos)
    folder = work.folder / _PLANTED
    _plant(sorted(work.photos.rglob("*.jpg")), folder)
    lake.save_settings(replace(lake.settings(), sources={**lake.settings().sources, _PLANTED: folder}))
    build_plainly(lake)
    report = find_issues(lake)
    rows = []
    for fault, (issue, count, _) in _FAULTS.items():
        found = {one.path for one in report.findings(issue) if Path(one.path).parent.name == fault}
        rows.append(Row(fault, len(found), f"found as {issue}", f"of {count}"))
    named = Counter(one.issue for one in report.findings() if one.source != _PLANTED)
    rows += [Row(f"other photos, {issue}", count, "named") for issue, count in sorted(named.items())]
    return rows + _wrong_labels(work.built_lake("lake-labels", work.photos))


def _plant(photos: list[Path], folder: Path) -> None:
    order = iter(np.random.default_rng(_SEED).permutation(len(photos)))
    for fault, (_, count, edit) in _FAULTS.items():
        (folder / fault).mkdir(parents=True)
        for _ in range(count):
            photo = photos[next(order)]
            to = folder / fault / f"{photo.stem}.jpg"
            if edit is None:
                to.write_bytes(photo.read_bytes()[:200])
                continue
            with Image.open(photo) as image:
                edit(image.convert("RGB")).save(to, quality=92)


def _blurred(share: float) -> Edit:
    return lambda image: image.filter(ImageFilter.GaussianBlur(share * min(image.size)))


def _darkened(share: float) -> Edit:
    return lambda image: ImageEnhance.Brightness(image).enhance(share)


_FAULTS: dict[str, tuple[str, int, Edit | None]] = {
    "blurred by 2 %": ("blurred", 15, _blurred(0.02)),
    "blurred by 1 %": ("blurred", 15, _blurred(0.01)),
    "darkened to 12 %": ("dark", 10, _darkened(0.12)),
    "darkened to 25 %": ("dark", 10, _darkened(0.25)),
    "darkened to 2 %": ("near_black", 5, _darkened(0.02)),
    "washed out": ("overexposed", 10, lambda image: Image.eval(image, lambda value: 255 - (255 - value) // 12)),
    "plain": ("plain", 6, lambda image: Image.new("RGB", image.size, image.resize((1, 1)).getpixel((0, 0)))),
    "grey": ("grey", 8, lambda image: image.convert("L")),
    "tiny": ("odd_size", 4, lambda image: image.resize((24, 18))),
    "strips": ("odd_shape", 4, lambda image: image.crop((0, 0, image.width, max(1, image.height // 12)))),
    "broken": ("failed", 4, None),
}
"""By the folder that the files are planted in: the issue, the number of files, and the edit; None cuts the file."""


def _wrong_labels(lake: Lake) -> list[Row]:
    generation = open_generation(lake)
    labels = folder_labels(generation)
    rng = np.random.default_rng(_SEED)
    changed = rng.choice(len(generation), _WRONG, replace=False)
    groups = labels.groups.copy()
    groups[changed] = (groups[changed] + rng.integers(1, len(labels.names), _WRONG)) % len(labels.names)
    named = [one.image_id for one in find_label_issues(lake, generation, replace(labels, groups=groups))]
    wrong = set(generation.columns("image_id")["image_id"].take(changed).to_pylist())
    first = named[:40]
    return [
        Row("wrong labels", len(wrong & set(named)), "found", f"of {_WRONG}, among {len(named)} named"),
        Row("wrong labels", len(wrong & set(first)), "of the first 40 named"),
    ]
