"""The images of `half_million.py` are the same each time and distinct, its exponents right, and no verb is left out."""

import hashlib
import os
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from docs import sizes_tables
from docs.sizes_tables import growth
from imrec_dagster.cli.main import imrec
from tests.benchmarks import half_million, many_images, size_verbs
from tests.benchmarks.many_images import COPY_EVERY, Photos, copy_kind, image_bytes, original_of, path_of, planted_pairs
from tests.benchmarks.watched import watch
from tests.support import toy


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(7):
        Image.fromarray(toy.photo(seed)).save(folder / f"{seed}.png")
    (folder / "note.txt").write_text("no photo")
    return Photos.of_folder(folder, folder.with_suffix(".bin"))


def test_photos_that_can_be_decoded_are_kept_as_they_are(photos):
    assert len(photos) == 7
    assert np.array_equal(photos[3], toy.photo(3))


def test_a_folder_of_one_photo_is_refused(tmp_path):
    Image.fromarray(toy.photo(0)).save(tmp_path / "only.png")
    with pytest.raises(ValueError, match="1 photos; expected two or more"):
        Photos.of_folder(tmp_path, tmp_path / "pixels.bin")


def test_images_are_the_same_each_time_and_distinct(photos):
    made = {number: image_bytes(photos, number) for number in (*range(60), 99)}
    assert all(image_bytes(photos, number) == made[number] for number in (51, 99, 7))
    assert len({hashlib.sha256(data).digest() for data in made.values()}) == len(made)


def test_a_copy_looks_like_its_original_and_like_no_other(photos):
    """Thumbnails in grey, without their mean: a copy is nearest to its original among other images."""
    planted = planted_pairs(range(3 * COPY_EVERY))
    assert Counter(planted.values()) == dict.fromkeys(many_images.COPY_KINDS, 1)
    numbers = sorted({*range(40), *(number for pair in planted for number in pair)})
    small = np.array([_thumbnail(image_bytes(photos, number)) for number in numbers])
    for original, copy in planted:
        distances = np.linalg.norm(small - small[numbers.index(copy)], axis=1)
        assert [numbers[i] for i in np.argsort(distances)[:2]] == [copy, original]


def _thumbnail(data):
    pixels = many_images.cv2.imdecode(np.frombuffer(data, np.uint8), many_images.cv2.IMREAD_GRAYSCALE)
    small = many_images.cv2.resize(pixels, (16, 16), interpolation=many_images.cv2.INTER_AREA).astype(np.float32)
    return ((small - small.mean()) / small.std()).ravel()


def test_one_image_in_a_hundred_is_a_copy_and_lies_beside_its_original():
    numbers = range(50 * COPY_EVERY)
    copies = [number for number in numbers if original_of(number) is not None]
    assert len(copies) == 50
    assert {copy_kind(number) for number in copies} == set(many_images.COPY_KINDS)
    for number in copies:
        original = original_of(number)
        assert original_of(original) is None
        assert path_of(number, 1066, 100).parent == path_of(original, 1066, 100).parent


def test_subfolders_have_about_as_many_images_each():
    counts = Counter(path_of(number, 1066, 100).parent for number in range(5000))
    assert len(counts) == 100
    assert max(counts.values()) <= 1.5 * 50


def test_what_was_made_is_not_made_again(photos, tmp_path):
    assert many_images.make_images(photos, tmp_path, range(3), 2) == 3
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    assert many_images.make_images(photos, tmp_path, range(5), 2) == 2
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert sorted(int(path.stem) for path in tmp_path.rglob("*.jpg")) == list(range(5))


def test_a_command_is_watched_with_the_processes_that_it_starts():
    """The child holds 60 MB until it has been seen."""
    child = "import time; held = bytes([1]) * 60_000_000; time.sleep(0.3)"
    code = f"import subprocess, sys; print('out'); subprocess.run([sys.executable, '-c', {child!r}]); sys.exit(3)"
    done = watch([sys.executable, "-c", code], os.environ, limit=60)
    assert (done.output, done.errors, done.code, done.is_cut) == ("out\n", "", 3, False)
    assert 60e6 < done.peak < 200e6
    assert done.seconds > 0.3
    assert done.core_seconds > 0


def test_a_command_is_stopped_at_the_limit_of_time():
    done = watch([sys.executable, "-c", "import time; time.sleep(600)"], os.environ, limit=0.2)
    assert done.is_cut
    assert done.seconds < 60


@pytest.mark.parametrize(("after", "exponent"), [(2.0, 0), (20.0, 1), (200.0, 2), (2.0 * 10**1.5, 1.5)])
def test_growth_is_the_exponent_between_two_sizes(after, exponent):
    assert growth((5_000, 2.0), (50_000, after)) == pytest.approx(exponent)


@pytest.mark.parametrize("missing", [None, 0, 0.0])
def test_growth_of_a_missing_value_is_none(missing):
    assert growth((10, missing), (100, 1.0)) is None
    assert growth((10, 1.0), (100, missing)) is None


def test_tables_show_targets_and_mark_what_grows_worse_than_linear(monkeypatch):
    figure = {"core_seconds": None, "results": {"groups": 3}, "note": "", "seconds_at_most": None, "peak_at_most": None}
    near = figure | {"name": "duplicates", "peak": 200_000_000, "peak_at_most": 300_000_000}
    cold = figure | {"name": "--help", "peak": None, "seconds_at_most": 0.25}
    sizes = {
        1_000: {"duplicates": near | {"seconds": 1.0}, "--help": cold | {"seconds": 0.2}},
        10_000: {
            "duplicates": near | {"seconds": 20.0, "peak": 400_000_000},
            "--help": cold | {"seconds": 0.3},
            "map": figure | {"name": "map", "seconds": 9.0, "peak": 1, "note": "failed: stopped after 9 s"},
        },
    }
    monkeypatch.setattr(sizes_tables, "measured", lambda: sizes)
    growing, targets, verbs = sizes_tables.growth_table(), sizes_tables.targets_table(), sizes_tables.sizes_table()
    assert "| duplicates | **1.30** | – | 0.30 |" in growing
    assert "| map |" not in growing
    assert "| duplicates: memory | 300 MB | 200 MB, met | **400 MB, missed** |" in targets
    assert "| --help | 0.25 s | 0.2 s, met | **0.3 s, missed** |" in targets
    assert "| duplicates | 1 s, 200 MB; groups 3 | 20 s, 400 MB; groups 3 |" in verbs
    assert "| map | – | failed: stopped after 9 s (9 s) |" in verbs


def test_every_verb_is_measured_or_left_out_with_a_reason():
    measured = {arguments[0] for arguments in size_verbs.VERBS.values()}
    measured |= {name.partition("_")[0] for name in half_million.STEPS}
    measured |= {"search", "serve", "ui"}  # of the steps search, cold, page and dagster
    left_out = {name.split()[0] for name in size_verbs.LEFT_OUT}
    assert set(imrec.commands) - measured - left_out == set()
    assert all(size_verbs.LEFT_OUT.values())
