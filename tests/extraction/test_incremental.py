"""Images are decoded once, and the rows that are kept equal those of a fresh lake, bit for bit."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from imrec_core import FEATURES, Lake
from imrec_core.catalog import ids, manifests
from imrec_core.errors import SchemaMismatch, UnreadableImage
from imrec_core.extraction import planning, read_ahead, shard_tables
from imrec_core.extraction.content_cache import ContentIndex, ContentMatches
from imrec_core.extraction.extract import extract_shards
from imrec_core.extraction.incremental import contents_digest, merge_rows
from imrec_core.extraction.planning import estimate_reads
from imrec_core.extraction.staleness import fit_fingerprint, has_fresh_images, stale_features
from imrec_core.features import Feature, Fitter
from imrec_core.lake import schemas
from imrec_core.lake.lake import made_from_of
from imrec_core.models import encoders
from tests.support import toy
from tests.support.pictures import BROKEN, PICTURES, encode, gradient
from tests.support.toy import extract, rewritten, set_to, tables_of, times

TWO = ("rgb_histogram", "phash")
_seconds = iter(range(1_700_000_000, 1_800_000_000))


@pytest.fixture
def decoded(monkeypatch) -> list[bytes]:
    """The bytes of every file that was decoded."""
    found: list[bytes] = []
    decode = read_ahead.decode

    def noted(data: bytes, **options):
        found.append(data)
        return decode(data, **options)

    monkeypatch.setattr(read_ahead, "decode", noted)
    return found


def put(path: Path, content: bytes) -> None:
    """Write a file that is younger than all before: a scan sees that it has changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    second = next(_seconds)
    os.utime(path, (second, second))


def jpeg(seed: int) -> bytes:
    return encode(toy.photo(seed, 64, 48), "JPEG", quality=90)


def update(lake: Lake, decoded: list[bytes], **options) -> int:
    """Scan and extract; how many images were decoded. Reports and announcements must say so too."""
    manifests.update(lake)
    chosen = [FEATURES[name] for name in lake.settings().features if name in FEATURES]
    ahead = sum(estimate_reads(lake, shard, chosen, lake.settings()).images for shard in lake.live_shards())
    decoded.clear()
    steps: list[int] = []
    reports = extract(lake, on_images=lambda ok, failed: steps.append(ok + failed), **options)
    if not options:
        assert sum(steps) == ahead
    assert sum(report.decoded for report in reports) == len(decoded)
    return len(decoded)


def fresh(lake: Lake, root: Path) -> Lake:
    """A lake of the same folders and the same shards, made from nothing."""
    made = toy.new_lake(root, (), sources=lake.settings().sources)
    made.save_settings(lake.settings())
    for shard in lake.shards():
        found = lake.read_table(lake.catalog_path(shard))
        made.write_table(made.catalog_path(shard), found, made_from_of(found))
    extract(made)
    return made


def assert_as_if_fresh(lake: Lake, root: Path) -> None:
    """Every table of the lake is that of a fresh one, and says the same of itself."""
    expected = tables_of(fresh(lake, root), "images", "features")
    found = tables_of(lake, "images", "features")
    assert found.keys() == expected.keys()
    for path, table in found.items():
        assert table.equals(expected[path]), path
        # What decodes the images table again leaves the features' tables as they are.
        found_facts, expected_facts = made_from_of(table) or {}, made_from_of(expected[path]) or {}
        if path.startswith("features/"):
            found_facts["images_version"] = expected_facts["images_version"]
        assert found_facts == expected_facts, path


def folder(lake: Lake, name: str = "photos") -> Path:
    return lake.settings().sources[name]


def features(*names: str) -> list[Feature]:
    return [FEATURES[name] for name in names]


def row(lake: Lake, path: str) -> dict[str, object]:
    source, _, rest = path.partition("/")
    wanted = ids.image_id(source, rest)
    found = [r for t in tables_of(lake, "images").values() for r in t.to_pylist() if r["image_id"] == wanted]
    assert len(found) == 1, path
    return found[0]


@pytest.fixture
def lake(new_lake, tmp_path) -> Lake:
    """Twenty images in two shards of `photos`, three in `other`."""
    for seed in range(100, 103):
        put(tmp_path / "other" / f"{seed}.jpg", jpeg(seed))
    sources = {"photos": tmp_path / "photos", "other": tmp_path / "other"}
    made = new_lake(0, TWO, built=False, sources=sources)
    for seed in range(20):
        put(tmp_path / "photos" / f"{seed:02d}.jpg", jpeg(seed))
    manifests.update(made)
    extract(made)
    return made


# -- one shard ----------------------------------------------------------------------------------------------


def test_images_added_to_a_shard_are_decoded_alone_and_the_other_rows_stay(lake, decoded, tmp_path):
    shard = "photos-0001"
    before = {path: table for path, table in tables_of(lake, "images", "features").items() if shard in path}
    for seed in range(200, 210):
        put(folder(lake) / f"x{seed}.jpg", jpeg(seed))
    assert update(lake, decoded) == 10
    for path, old in before.items():
        new = lake.read_table(lake.root / path)
        assert len(new) == 14 and new.slice(0, 4).equals(old)
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_changed_file_is_decoded_alone(lake, decoded, tmp_path):
    put(folder(lake) / "03.jpg", jpeg(300))
    assert update(lake, decoded) == 1
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_touched_file_is_read_and_not_decoded(lake, decoded, tmp_path):
    put(folder(lake) / "03.jpg", jpeg(3))
    assert update(lake, decoded) == 0
    assert row(lake, "photos/03.jpg")["mtime_ns"] == (folder(lake) / "03.jpg").stat().st_mtime_ns
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_removed_file_costs_no_decoding(lake, decoded, tmp_path):
    (folder(lake) / "03.jpg").unlink()
    assert update(lake, decoded) == 0
    assert lake.row_count(lake.feature_path("phash", "photos-0000")) == 15
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_renamed_file_takes_its_vectors_along(lake, decoded, tmp_path):
    (folder(lake) / "03.jpg").rename(folder(lake) / "zz.jpg")
    assert update(lake, decoded) == 0
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_files_moved_through_sources_and_shards_are_never_decoded_again(lake, decoded, tmp_path):
    for name in ("01.jpg", "17.jpg"):
        (folder(lake) / name).rename(folder(lake) / f"sub{name}")
    assert update(lake, decoded) == 0
    folder(lake, "other").joinpath("100.jpg").rename(folder(lake) / "100.jpg")
    assert update(lake, decoded) == 0
    for path in list(folder(lake).glob("0*.jpg")):
        path.rename(folder(lake, "other") / path.name)
    assert update(lake, decoded) == 0
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_two_files_that_change_names_change_vectors(lake, decoded, tmp_path):
    a, b, aside = (folder(lake) / name for name in ("03.jpg", "18.jpg", "aside"))
    a.rename(aside), b.rename(a), aside.rename(b)
    update(lake, decoded)
    assert len(decoded) <= 1  # the shard of one is refreshed before the other is extracted
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_file_moved_to_another_source_takes_its_vectors_along(lake, decoded, tmp_path):
    (folder(lake) / "03.jpg").rename(folder(lake, "other") / "03.jpg")
    assert update(lake, decoded) == 0
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_restored_file_is_decoded_once_more(lake, decoded, tmp_path):
    path = folder(lake) / "03.jpg"
    path.rename(tmp_path / "aside.jpg")
    update(lake, decoded)
    (tmp_path / "aside.jpg").rename(path)
    assert update(lake, decoded) == 1
    assert_as_if_fresh(lake, tmp_path / "fresh")


# -- copies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["photos/copy.jpg", "other/copy.jpg"])
@pytest.mark.parametrize("original", ["photos/02.jpg", "photos/18.jpg", "other/101.jpg"])
def test_copy_of_what_is_known_is_not_decoded(lake, decoded, tmp_path, original, target):
    put(tmp_path / target, (tmp_path / original).read_bytes())
    assert update(lake, decoded) == 0
    own = ("image_id", "byte_size", "mtime_ns")
    copied, first = ({k: v for k, v in row(lake, path).items() if k not in own} for path in (target, original))
    assert copied == first and copied["status"] == "ok"
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_copies_that_come_together_are_decoded_once(lake, decoded, tmp_path):
    for name in ("photos/n1.jpg", "photos/n2.jpg", "photos/n3.jpg", "other/n4.jpg"):
        put(tmp_path / name, jpeg(400))
    assert update(lake, decoded) == 1
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_many_copies_of_one_new_file_are_decoded_once_by_all_threads_together(new_lake, decoded, tmp_path):
    lake = new_lake(0, TWO, built=False, shard_size=400)
    for number in range(300):
        put(folder(lake) / f"{number}.jpg", jpeg(7))
    assert update(lake, decoded) == 1
    vectors = lake.read_table(lake.feature_path("phash", "photos-0000"))
    assert len(vectors) == 300 and len(set(vectors["vector"].to_pylist())) == 1
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_copies_of_a_file_that_fails_fail_with_its_reason(lake, decoded, tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        put(folder(lake) / name, BROKEN["truncated.jpg"]())
    assert update(lake, decoded) == 1
    put(folder(lake, "other") / "d.jpg", BROKEN["truncated.jpg"]())
    update(lake, decoded)
    errors = {str(row(lake, name)["error"]) for name in ("photos/a.jpg", "photos/b.jpg", "photos/c.jpg", "other/d.jpg")}
    assert len(errors) == 1 and errors.pop().startswith("TruncatedImage")
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_first_build_decodes_copies_of_other_shards_once(new_lake, decoded, tmp_path):
    lake = new_lake(0, TWO, built=False, shard_size=5)
    for number in range(20):
        put(folder(lake) / f"{number:02d}.jpg", jpeg(number % 4))
    assert update(lake, decoded) == 4
    assert_as_if_fresh(lake, tmp_path / "fresh")


def change_meanwhile(monkeypatch, then: Callable[[], None]) -> None:
    """Call something once, after the first file was found to be a copy."""
    has, calls = ContentMatches.add, iter([then])

    def noted(self, image_id, content_hash):
        found = has(self, image_id, content_hash)
        if found:
            next(calls, lambda: None)()
        return found

    monkeypatch.setattr(ContentMatches, "add", noted)


@pytest.mark.parametrize("how", ["changed", "removed", "recomputed"])
def test_original_that_goes_while_its_copy_is_read_does_not_mislead(lake, decoded, tmp_path, monkeypatch, how):
    put(folder(lake, "other") / "copy.jpg", jpeg(2))
    put(folder(lake, "other") / "copy_too.jpg", jpeg(2))
    manifests.update(lake)

    def another_run() -> None:
        if how == "removed":
            (folder(lake) / "02.jpg").unlink()
        if how == "changed":
            put(folder(lake) / "02.jpg", jpeg(500))
        manifests.update(lake)
        if how == "recomputed":
            lake.images_path("photos-0000").unlink()
        list(extract_shards(lake, ["photos-0000"], features(*TWO)))

    change_meanwhile(monkeypatch, another_run)
    extract(lake)
    monkeypatch.undo()
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_original_whose_vectors_are_replaced_while_its_copy_is_read_does_not_mislead(lake, decoded, monkeypatch):
    put(folder(lake, "other") / "copy.jpg", jpeg(2))
    manifests.update(lake)
    path = lake.feature_path("phash", "photos-0000")
    before = lake.read_table(path)

    def newer_imrec() -> None:
        numbers = pa.array([7] * len(before), pa.uint64())
        lake.write_table(path, before.set_column(1, "vector", numbers), made_from_of(before) | {"feature_version": "9"})

    change_meanwhile(monkeypatch, newer_imrec)
    (report,) = extract_shards(lake, ["other-0000"], features(*TWO))
    assert report.decoded == len(decoded) == 1
    vectors = dict(zip(*lake.read_table(lake.feature_path("phash", "other-0000")).to_pydict().values(), strict=True))
    of_original = dict(zip(*before.to_pydict().values(), strict=True))[ids.image_id("photos", "02.jpg")]
    assert vectors[ids.image_id("other", "copy.jpg")] == of_original != 7


# -- other numbers ------------------------------------------------------------------------------------------


def test_raised_version_of_a_feature_decodes_all_for_it_and_leaves_the_others(lake, decoded, monkeypatch, tmp_path):
    before = times(lake, "features/rgb_histogram")
    monkeypatch.setitem(FEATURES, "phash", replace(FEATURES["phash"], version=2, compute=FEATURES["ahash"].compute))
    assert update(lake, decoded) == 23
    assert times(lake, "features/rgb_histogram") == before
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_raised_version_and_new_images_mix_nothing(lake, decoded, monkeypatch, tmp_path):
    monkeypatch.setitem(FEATURES, "phash", replace(FEATURES["phash"], version=2, compute=FEATURES["ahash"].compute))
    put(folder(lake) / "new.jpg", jpeg(600))
    put(folder(lake) / "copy.jpg", jpeg(4))
    update(lake, decoded)
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_feature_added_with_new_images_is_computed_for_all_and_the_others_for_the_new(lake, decoded, tmp_path):
    set_to(lake, features=(*TWO, "ahash"))
    put(folder(lake) / "new.jpg", jpeg(600))
    manifests.update(lake)
    found = estimate_reads(lake, "photos-0001", features(*TWO, "ahash"), lake.settings())
    assert (found.images, found.again, found.features) == (1 + 5, 4, ("ahash",))
    assert update(lake, decoded) == 16 + 5 + 3 + 1
    assert_as_if_fresh(lake, tmp_path / "fresh")


def mean_learnt(batches):
    return {"mean": np.float32(np.mean([image.mean() for batch in batches for image in batch.images]))}, {}


def beside_the_mean(batch, fitted):
    small = batch.resized(2, 1).reshape(len(batch), -1).astype(np.float32)
    return small - fitted["mean"]


LEARNT = replace(
    FEATURES["rgb_histogram"], name="beside_mean", dims=6, compute=beside_the_mean,
    learnt=Fitter(mean_learnt, images=1000, least_images=4),
)  # fmt: skip


def test_vectors_of_another_fit_are_not_mixed_in(lake, decoded, monkeypatch):
    monkeypatch.setitem(FEATURES, LEARNT.name, LEARNT)
    set_to(lake, features=("phash", LEARNT.name))
    update(lake, decoded)
    old = lake.fitted_version(LEARNT.name)
    new = f"{fit_fingerprint(lake, LEARNT)}-ffff"
    lake.save_fitted(LEARNT.name, new, {"mean": np.float32(-1000)}, lake.fitted_facts(LEARNT.name, old))
    put(folder(lake) / "copy.jpg", jpeg(2))
    put(folder(lake) / "new.jpg", jpeg(600))
    assert update(lake, decoded) >= 24
    for path, table in tables_of(lake, f"features/{LEARNT.name}").items():
        assert schemas.to_matrix(table["vector"]).min() >= 1000, path


class Constant:
    """An encoder whose every vector says which one it was."""

    batch = 16

    def __init__(self, precision: str, backend: str = "openvino") -> None:
        self.precision, self.backend = precision, backend

    def submit(self, pixels: np.ndarray):
        vectors = np.zeros((len(pixels), 1280), np.float16)
        vectors[:, sum(f"{self.precision} {self.backend}".encode()) % 1280] = 1
        return lambda: vectors


NETWORK = "efficientnet_lite0"


@pytest.mark.parametrize("other", [Constant("bf16"), Constant("fp32", "torch-cuda")], ids=["precision", "backend"])
def test_vectors_of_another_arithmetic_are_not_mixed_in_within_a_shard(lake, decoded, monkeypatch, other):
    set_to(lake, features=("phash", NETWORK))
    monkeypatch.setattr(encoders, "load_encoder", lambda *_, **__: Constant("fp32"))
    update(lake, decoded)
    monkeypatch.setattr(encoders, "load_encoder", lambda *_, **__: other)
    assert update(lake, decoded) == 0  # what is there is good enough
    put(folder(lake) / "copy.jpg", jpeg(2))  # of the first shard, where the old ones stay
    put(folder(lake) / "new.jpg", jpeg(600))
    assert update(lake, decoded) == 1 + 6
    of_shard = [schemas.to_matrix(t["vector"]) for t in tables_of(lake, f"features/{NETWORK}").values()]
    assert [len(np.unique(vectors, axis=0)) for vectors in of_shard] == [1, 1, 1]
    assert len(np.unique(np.concatenate(of_shard), axis=0)) == 2


def test_other_weights_are_not_mixed_in(lake, decoded, monkeypatch):
    set_to(lake, features=("phash", NETWORK))
    monkeypatch.setattr(encoders, "load_encoder", lambda *_, **__: Constant("fp32"))
    update(lake, decoded)
    feature = FEATURES[NETWORK]
    monkeypatch.setitem(FEATURES, NETWORK, replace(feature, model=replace(feature.model, sha256="0" * 64)))
    monkeypatch.setattr(encoders, "load_encoder", lambda *_, **__: Constant("fp32", "other"))
    put(folder(lake) / "copy.jpg", jpeg(2))
    put(folder(lake) / "copy_too.jpg", jpeg(18))
    update(lake, decoded)
    of_all = np.concatenate([schemas.to_matrix(t["vector"]) for t in tables_of(lake, f"features/{NETWORK}").values()])
    assert len(np.unique(of_all, axis=0)) == 1


def test_raised_version_of_the_images_decodes_all_for_them_alone(lake, decoded, monkeypatch, tmp_path):
    before = times(lake, "features")
    monkeypatch.setattr(schemas, "IMAGES_VERSION", schemas.IMAGES_VERSION + 1)
    assert update(lake, decoded) == 23
    assert times(lake, "features") == before
    put(folder(lake) / "new.jpg", jpeg(600))
    assert update(lake, decoded) == 1
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_raised_limit_decodes_what_was_too_large_alone(lake, decoded, tmp_path):
    for name in ("big.jpg", "copy_of_big.jpg"):
        put(folder(lake) / name, encode(gradient(400, 300), "JPEG"))
    put(folder(lake) / "bad.jpg", BROKEN["text.jpg"]())
    set_to(lake, max_pixels=100_000)
    update(lake, decoded)
    assert str(row(lake, "photos/big.jpg")["error"]).startswith("ImageTooLarge")
    put(folder(lake) / "new.jpg", jpeg(970))
    assert update(lake, decoded) == 1
    set_to(lake, max_pixels=110_000)
    assert update(lake, decoded) == 1
    assert str(row(lake, "photos/big.jpg")["error"]).startswith("ImageTooLarge")
    set_to(lake, max_pixels=120_000)
    assert update(lake, decoded) == 1
    assert row(lake, "photos/copy_of_big.jpg")["status"] == "ok"
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_raised_limit_and_a_feature_to_add_decode_all_once_more_and_not_twice(lake, decoded, tmp_path):
    put(folder(lake) / "big.jpg", encode(gradient(400, 300), "JPEG"))
    set_to(lake, max_pixels=100_000)
    update(lake, decoded)
    set_to(lake, max_pixels=120_000, features=(*TWO, "ahash"))
    assert update(lake, decoded) == 1 + 24
    assert_as_if_fresh(lake, tmp_path / "fresh")


@pytest.mark.parametrize("gone", ["images", "features/phash"])
def test_table_deleted_by_hand_is_made_again_and_the_others_stay(lake, decoded, tmp_path, gone):
    put(folder(lake) / "zz.jpg", jpeg(2))  # a copy of one in the other shard
    update(lake, decoded)
    before = times(lake, "features", "images")
    (lake.root / gone / "photos-0001.parquet").unlink()
    assert update(lake, decoded) == 4  # not the copy
    assert rewritten(before, times(lake, "features", "images")) <= {
        "images/photos-0001.parquet",
        f"{gone}/photos-0001.parquet",
    }
    assert_as_if_fresh(lake, tmp_path / "fresh")


# -- vectors of old content ---------------------------------------------------------------------------------


def test_partial_run_carries_no_vector_of_old_content(lake, decoded, tmp_path):
    put(folder(lake) / "03.jpg", jpeg(700))
    manifests.update(lake)
    list(extract_shards(lake, lake.live_shards(), features("phash")))
    assert stale_features(lake, "photos-0000", features(*TWO)) == features("rgb_histogram")
    put(folder(lake, "other") / "copy.jpg", jpeg(700))  # nor may a copy take one
    update(lake, decoded)
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_change_that_no_scan_saw_between_two_partial_runs_carries_no_vector_of_old_content(new_lake, decoded, tmp_path):
    lake = new_lake(0, TWO, built=False)
    for seed in range(4):
        put(folder(lake) / f"{seed}.jpg", jpeg(seed))
    manifests.update(lake)
    list(extract_shards(lake, lake.live_shards(), features("phash")))
    put(folder(lake) / "2.jpg", jpeg(800))
    list(extract_shards(lake, lake.live_shards(), features("rgb_histogram")))  # sees the new bytes, by the old manifest
    put(folder(lake) / "copy.jpg", jpeg(800))
    update(lake, decoded)
    assert_as_if_fresh(lake, tmp_path / "fresh")


def test_scan_amid_a_partial_run_carries_no_vector_of_old_content(lake, decoded, tmp_path, monkeypatch):
    put(folder(lake) / "03.jpg", jpeg(900))
    lake.feature_path("phash", "photos-0000").unlink()
    version = shard_tables.manifest_version

    def then_scan(of: Lake, shard: str) -> str:
        found = version(of, shard)
        manifests.update(lake)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(shard_tables, "manifest_version", then_scan)
        list(extract_shards(lake, ["photos-0000"], features("phash")))
    update(lake, decoded)
    assert_as_if_fresh(lake, tmp_path / "fresh")


# -- failed files -------------------------------------------------------------------------------------------


@pytest.fixture
def with_failures(lake, decoded, monkeypatch) -> Iterator[Lake]:
    """Two files of the second shard cannot be decoded; one of them could be from now on."""
    put(folder(lake) / "bad.jpg", BROKEN["truncated.jpg"]())
    put(folder(lake) / "later.jpg", jpeg(950))
    decode = read_ahead.decode

    def fails(data: bytes, **options):
        if data == jpeg(950):
            decoded.append(data)
            raise OSError("a codec is missing")
        return decode(data, **options)

    with monkeypatch.context() as patch:
        patch.setattr(read_ahead, "decode", fails)
        update(lake, decoded)
    assert row(lake, "photos/later.jpg")["status"] == "failed"
    return lake


def test_failed_file_is_not_tried_again_while_it_is_as_it_was(with_failures, decoded):
    put(folder(with_failures) / "new.jpg", jpeg(951))
    assert update(with_failures, decoded) == 1
    assert row(with_failures, "photos/later.jpg")["status"] == "failed"


def test_retry_tries_failed_files_alone(with_failures, decoded, tmp_path):
    assert update(with_failures, decoded, retry=True) == 2
    assert row(with_failures, "photos/later.jpg")["status"] == "ok"
    assert row(with_failures, "photos/bad.jpg")["status"] == "failed"
    assert_as_if_fresh(with_failures, tmp_path / "fresh")
    before = times(with_failures, "features")
    assert update(with_failures, decoded, retry=True) == 1
    assert {Path(path).stem for path in rewritten(before, times(with_failures, "features"))} <= {"photos-0001"}


def test_retry_with_a_feature_to_add_and_new_images_keeps_what_is_known(with_failures, decoded, tmp_path):
    set_to(with_failures, features=(*TWO, "ahash"))
    put(folder(with_failures) / "new.jpg", jpeg(951))
    assert update(with_failures, decoded, retry=True) == 16 + 3 + 3 + 7
    assert_as_if_fresh(with_failures, tmp_path / "fresh")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_what_could_not_be_read_for_want_of_rights_is_tried_again(lake, decoded):
    path = folder(lake) / "new.jpg"
    put(path, jpeg(960))
    path.chmod(0)
    update(lake, decoded)
    path.chmod(0o600)
    put(folder(lake) / "newer.jpg", jpeg(961))
    assert update(lake, decoded) == 2


def test_what_could_not_be_read_is_tried_again_with_the_next_change(lake, decoded, monkeypatch, tmp_path):
    put(folder(lake) / "new.jpg", jpeg(960))
    read = read_ahead.read_image

    def away(source, place):
        if place["path"] == "new.jpg":
            raise UnreadableImage("cannot read the file: the share is away")
        return read(source, place)

    with monkeypatch.context() as patch:
        patch.setattr(read_ahead, "read_image", away)
        assert update(lake, decoded) == 0
    assert row(lake, "photos/new.jpg")["content_hash"] is None
    put(folder(lake) / "newer.jpg", jpeg(961))
    assert update(lake, decoded) == 2
    assert_as_if_fresh(lake, tmp_path / "fresh")


# -- the oracle ---------------------------------------------------------------------------------------------


class Folders:
    """Two folders in which files come, change and go."""

    def __init__(self, roots: Sequence[Path], seed: int) -> None:
        self._roots, self._random = roots, random.Random(seed)
        self._aside: list[bytes] = []

    def _files(self) -> list[Path]:
        return sorted(path for root in self._roots for path in root.iterdir())

    def _new_name(self) -> Path:
        return self._random.choice(self._roots) / f"{self._random.randrange(10**6)}.jpg"

    def _content(self) -> bytes:
        kinds = [lambda: jpeg(self._random.randrange(10**6)), BROKEN["truncated.jpg"], PICTURES["gradient.jpg"]]
        return self._random.choices(kinds, (6, 1, 1))[0]()

    def step(self) -> None:
        files = self._files()
        what = self._random.choice(("add", "change", "rename", "remove", "copy", "touch", "restore", "swap"))
        one, two = self._random.choice(files), self._random.choice(files)
        if what == "add":
            put(self._new_name(), self._content())
        elif what == "change":
            put(one, self._content())
        elif what == "rename":
            one.rename(self._new_name())
        elif what == "remove" and len(files) > 12 and len(list(one.parent.iterdir())) > 1:
            self._aside.append(one.read_bytes())
            one.unlink()
        elif what == "copy":
            shutil.copy2(one, self._new_name())
        elif what == "touch":
            put(one, one.read_bytes())
        elif what == "restore" and self._aside:
            put(self._new_name(), self._random.choice(self._aside))
        elif what == "swap" and one != two:
            first, second = one.read_bytes(), two.read_bytes()
            put(one, second)
            put(two, first)


@pytest.mark.parametrize("seed", range(6))
def test_tables_are_those_of_a_fresh_lake_after_whatever_happened(new_lake, tmp_path, seed):
    roots = tmp_path / "photos", tmp_path / "other"
    for number in range(12):
        put(roots[number % 2] / f"{number}.jpg", jpeg(number))
    lake = new_lake(0, TWO, built=False, shard_size=5, sources={"photos": roots[0], "other": roots[1]})
    folders, chance = Folders(roots, seed), random.Random(seed)
    for number in range(30):
        folders.step()
        if chance.random() < 0.4:
            manifests.update(lake)
            some = chance.choice((TWO, TWO, ("phash",), ("rgb_histogram",), ()))
            list(extract_shards(lake, lake.live_shards(), features(*some), retry=chance.random() < 0.2))
        if number % 10 == 9:
            manifests.update(lake)
            extract(lake)
            assert_as_if_fresh(lake, tmp_path / f"fresh{number}")


# -- the parts ----------------------------------------------------------------------------------------------


def test_known_content_finds_every_place_and_forgets_what_went(lake):
    known = ContentIndex(lake)
    put(folder(lake) / "zz.jpg", jpeg(101))
    manifests.update(lake)
    extract(lake)
    wanted = str(row(lake, "other/101.jpg")["content_hash"])
    there = ("other-0000", ids.image_id("other", "101.jpg"))
    assert list(known.find(wanted)) == [there]
    known.refresh("photos-0001")
    assert sorted(known.find(wanted)) == [there, ("photos-0001", ids.image_id("photos", "zz.jpg"))]
    (folder(lake) / "zz.jpg").unlink()
    manifests.update(lake)
    extract(lake)
    known.refresh("photos-0001")
    assert list(known.find(wanted)) == [there]
    assert list(known.find("0" * 32)) == [] == list(known.find("f" * 33))


def test_known_content_is_small(lake):
    known = ContentIndex(lake)
    assert sum(a.nbytes for a in (known._hashes, known._ids, known._shard_of)) <= 60 * 23


def test_tables_say_the_same_contents_only_where_bytes_and_images_are_the_same():
    one = {"image_id": "a", "content_hash": "1", "status": "ok"}
    two = {"image_id": "b", "content_hash": "2", "status": "ok"}
    failed = {"image_id": "c", "content_hash": "3", "status": "failed"}
    assert contents_digest([one, two, failed]) == contents_digest([one, two])
    swapped = [{**one, "content_hash": "2"}, {**two, "content_hash": "1"}]
    others = [[one], [two], [two, one], swapped, [{**one, "content_hash": "2"}, two], []]
    assert len({contents_digest(rows) for rows in [[one, two], *others]}) == 7


def test_rows_that_are_not_there_are_an_error_and_no_nulls():
    table = pa.table({"image_id": ["a", "b"], "vector": [1, 2]})
    assert merge_rows([table.slice(1), table.slice(0, 1)], pa.array(["a", "b"])).equals(table)
    with pytest.raises(SchemaMismatch, match="1 images have no vector"):
        merge_rows([table], pa.array(["a", "x"]))


def test_fresh_shard_has_nothing_to_read(lake):
    assert all(has_fresh_images(lake, shard) for shard in lake.live_shards())
    for shard in lake.live_shards():
        assert estimate_reads(lake, shard, features(*TWO), lake.settings()) == planning.ReadEstimate()
