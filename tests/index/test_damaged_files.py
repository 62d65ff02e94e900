"""Damaged files of a generation: noticed before they are used, searched without, and made again by the next build."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from imrec_core import Lake, Recommender
from imrec_core.errors import DamagedGeneration, SchemaMismatch, StaleIndex
from imrec_core.features import FEATURES
from imrec_core.index import integrity, vector_check
from imrec_core.index.build import build_generation
from imrec_core.index.generation import Generation
from imrec_core.index.integrity import GenerationFiles
from imrec_core.index.opening import open_generation
from imrec_core.lake import checksums
from imrec_core.lake.checksums import block_checksums, checksum, file_checksum
from imrec_core.lake.current_generation import CurrentGeneration
from imrec_core.search.query import ImageId
from tests.support import toy

GRAPH = "rgb_histogram.hellinger.hnsw"
ROWS = 2400  # enough for searches to use the graph


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A lake with two generations of drawn vectors; the second shares its files with the first."""
    root = tmp_path_factory.mktemp("damage") / "lake"
    rng = np.random.default_rng(0)
    histograms = rng.random((ROWS, FEATURES["rgb_histogram"].width)).astype(np.float32)
    histograms /= histograms.sum(axis=1, keepdims=True)
    hashes = rng.integers(0, 2**63, (ROWS, 1), np.uint64)
    lake = toy.two_generations(root, {"rgb_histogram": histograms, "phash": hashes}, shard_size=800)
    assert "extends 000001 by 800 rows" in open_generation(lake).facts["why"]
    return root


@pytest.fixture
def lake(built, tmp_path) -> Lake:
    root = tmp_path / "lake"
    shutil.copytree(built, root)
    return Lake(root)


def flip(path: Path, at: int = -1, bit: int = 0) -> None:
    """Flip one bit of a file, by default in its middle."""
    data = bytearray(path.read_bytes())
    data[at if at >= 0 else len(data) // 2] ^= 1 << bit
    path.unlink()  # the file may be shared with another generation
    path.write_bytes(data)


def search(lake: Lake) -> list[str]:
    recommender = Recommender.open(lake)
    query = recommender.generation.columns("image_id")["image_id"][0].as_py()
    return [hit.image_id for hit in recommender.search(ImageId(query), by="rgb_histogram", k=5)]


def plan(lake: Lake) -> str:
    recommender = Recommender.open(lake)
    query = recommender.generation.columns("image_id")["image_id"][0].as_py()
    return recommender.search(ImageId(query), by="rgb_histogram", k=5).plan


# -- checksums ----------------------------------------------------------------------------------------------


def test_checksums_of_files_are_those_of_their_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(checksums, "_READ_BYTES", 7)
    path, data = tmp_path / "file", np.random.default_rng(0).bytes(100)
    path.write_bytes(data)
    assert file_checksum(path) == checksum(data)
    assert file_checksum(path, 10, 45) == checksum(data[10:45])
    assert list(block_checksums(path, 8, 100, 30)) == [checksum(data[a : min(a + 30, 100)]) for a in (8, 38, 68, 98)]
    path.write_bytes(b"")
    assert (file_checksum(path), list(block_checksums(path, 0, 0))) == (checksum(b""), [])


def test_every_file_of_a_generation_has_checksums(lake):
    for name in lake.generations():
        files = Generation(lake.local_generation(name)).files
        assert {*files.whole, *files.blocks} == {p.name for p in files.folder.iterdir()} - {"generation.json"}
        assert all(files.whole[name] == file_checksum(files.folder / name) for name in files.whole)
        assert all(all(files.check_blocks(name)) and files.blocks[name] for name in files.blocks)


@pytest.mark.parametrize("block_bytes", [1000, 4096, 1 << 22])
@pytest.mark.parametrize("links", [True, False])
def test_checksums_of_an_extended_file_are_those_of_the_whole(lake, monkeypatch, block_bytes, links):
    previous = Generation(lake.local_generation("000001")).files
    current = Generation(lake.local_generation("000002")).files
    monkeypatch.setattr(integrity, "_is_same_file", lambda *_: links)
    for name, file in current.vectors.items():
        before = previous.vectors[name]
        known = {name: list(block_checksums(before.path, before.start(), before.end(), block_bytes))}
        old = GenerationFiles(previous.folder, previous.vectors, {}, known, block_bytes)
        new = GenerationFiles(current.folder, current.vectors, {}, {}, block_bytes)
        expected = list(block_checksums(file.path, file.start(), file.end(), block_bytes))
        assert new.record(old)["blocks"][name] == expected


def test_damage_that_an_extension_would_inherit_causes_a_whole_build(lake, caplog):
    open_generation(lake)
    lake.set_aside(lake.generation_path("000002") / "rows.parquet")  # so that 000001 is the one to extend
    lake.publish("000001")
    flip(lake.generation_path("000001") / "rgb_histogram.npy", -1 % 200_000)
    report = build_generation(lake)
    assert "rgb_histogram.npy differs from its checksum; building a whole generation" in caplog.text
    assert report.why.startswith("built whole") and report.rows == ROWS


# -- graphs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["flip", "zeros", "short", "missing", "empty"])
def test_damaged_graph_is_replaced_by_an_exact_scan_until_the_next_build(lake, caplog, how):
    expected = search(lake)
    assert "the graph of rgb_histogram:hellinger" in plan(lake)
    path = lake.generation_path("000002") / GRAPH
    data = path.read_bytes()
    path.unlink()
    if how == "flip":
        path.write_bytes(data[:5000] + bytes([data[5000] ^ 64]) + data[5001:])
    elif how != "missing":
        path.write_bytes({"zeros": data[:4096] + bytes(4096) + data[8192:], "short": data[:-1], "empty": b""}[how])
    assert search(lake) == expected
    warnings = [r.getMessage() for r in caplog.records if GRAPH in r.getMessage() and r.levelno == logging.WARNING]
    assert len(warnings) == 1 and "searches use an exact scan instead. To repair it, run: imrec build" in warnings[0]
    report = build_generation(lake)
    assert report.built and not open_generation(lake).damaged
    assert "the graph of rgb_histogram:hellinger" in plan(lake) and search(lake) == expected


def test_damaged_graph_without_a_checksum_is_replaced_by_an_exact_scan(lake, caplog):
    expected = search(lake)
    toy.edit_manifest(lake, "000002", lambda facts: {k: v for k, v in facts.items() if k != "checksums"})
    path = lake.generation_path("000002") / GRAPH
    path.write_bytes(bytes(path.stat().st_size))
    assert search(lake) == expected and f"{GRAPH} cannot be loaded" in caplog.text


# -- rows and the manifest ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow", "generation.json"])
def test_flipped_bit_in_rows_or_manifest_falls_back_to_the_generation_before(lake, caplog, name):
    flip(lake.generation_path("000002") / name)
    assert open_generation(lake).id == "000001"
    assert name in caplog.text and "using generation 000001 instead" in caplog.text
    assert (lake.layout.damaged_folder / "generations" / "000002" / name).exists()
    assert build_generation(lake).rows == ROWS and open_generation(lake).id == "000003"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow", GRAPH, "generation.json"])
def test_file_that_cannot_be_read_is_not_moved_aside(lake, monkeypatch, caplog, name, number):
    """It may be whole: access is denied, too many files are open, a network disk is away for a moment."""
    expected, path = search(lake), lake.generation_path("000002") / name
    real = Path.open

    def fail(opened: Path, *arguments: object, **named: object) -> object:
        if opened == path:
            raise OSError(number, os.strerror(number), str(opened))
        return real(opened, *arguments, **named)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "open", fail)
        integrity._checksum.cache_clear()
        search(lake)
    assert f"{name} cannot be read ({os.strerror(number)})" in caplog.text
    assert path.exists() and not lake.layout.damaged_folder.exists()
    assert search(lake) == expected and open_generation(lake).id == "000002"


def test_older_generation_is_verified_too(lake):
    flip(lake.generation_path("000002") / "rows.parquet")
    path = lake.generation_path("000001") / "generation.json"
    path.write_text(path.read_text().replace('"rows": 1600', '"rows": 900'))
    with pytest.raises(StaleIndex, match=r"generation 000002: rows.parquet differs .*; run: imrec build"):
        open_generation(lake)


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 4}', '{"format": 4, "files": {}, "features": []}', "", "\0"])
def test_manifest_without_a_checksum_may_hold_anything(lake, text):
    path = lake.generation_path("000002") / "generation.json"
    path.write_text(text)
    lake.current_path.write_text("000002")  # as imrec 0.1 writes it
    assert open_generation(lake).id == "000001"


# -- vectors ------------------------------------------------------------------------------------------------


def vectors_of(lake: Lake, generation: str) -> Path:
    return lake.generation_path(generation) / "rgb_histogram.npy"


def wait_for_check(recommender: Recommender) -> None:
    check = recommender.generation._vector_check
    assert check is not None
    check.wait()


def test_damaged_vectors_are_found_in_the_background_and_not_used_again(lake, caplog):
    shared = lake.generation_path("000001") / "rgb_histogram.npy"
    shared.write_bytes(shared.read_bytes())  # the copy of the lake has no hard links
    flip(vectors_of(lake, "000002"))
    recommender = Recommender(lake)
    check = recommender._context.generation._vector_check
    check.wait()
    assert "000002: rgb_histogram.npy differs from its checksum; using the generation before" in caplog.text
    assert recommender.generation.id == "000001" and open_generation(lake).id == "000001"
    assert build_generation(lake).why.startswith("built whole") and recommender.generation.id == "000003"


def test_damaged_header_of_vectors_does_no_harm(lake):
    expected = search(lake)
    flip(vectors_of(lake, "000002"), 9)  # the length of the header
    flip(vectors_of(lake, "000002"), 0)
    assert search(lake) == expected


def test_damage_in_a_lake_that_cannot_be_written_is_remembered_by_the_process(lake, monkeypatch):
    monkeypatch.setattr(Lake, "set_aside", lambda *_: False)
    flip(vectors_of(lake, "000002"))
    recommender = Recommender(lake)
    recommender._context.generation._vector_check.wait()
    assert recommender.generation.id == "000001" and vectors_of(lake, "000002").exists()


def test_check_of_vectors_ends_with_its_generation(lake, monkeypatch):
    monkeypatch.setattr(vector_check, "_REST", 1e9)
    generation = open_generation(lake)
    thread = generation._vector_check._thread
    assert thread.is_alive() and thread.daemon
    del generation
    thread.join(10)
    assert not thread.is_alive()
    assert "imrec-vector-check" not in {t.name for t in threading.enumerate() if t is thread and t.is_alive()}


# -- CURRENT and version.json -------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\n", b"0000", b"\0" * 40, b"\xff\xfe", b"000002 zz", b"{}"])
def test_damaged_current_falls_back_to_the_newest_generation_and_is_repaired(lake, caplog, data):
    whole = lake.current_path.read_bytes()
    lake.current_path.write_bytes(data)
    assert open_generation(lake).id == "000002"
    assert "CURRENT is damaged; using the newest complete generation. To repair it, run: imrec build" in caplog.text
    report = build_generation(lake)
    assert (report.built, report.id) == (False, "000002")
    assert lake.current_path.read_bytes().split()[:2] == whole.split()[:2]


def test_current_with_another_id_or_checksum_falls_back_to_a_whole_generation(lake):
    text = lake.current_path.read_text()
    lake.current_path.write_text(text.replace("000002", "000007"))
    assert open_generation(lake).id == "000002"
    lake.current_path.write_text(text.replace("000002", "000001", 1))  # the checksum is still that of 000002
    assert open_generation(lake).id == "000002"


def test_current_of_an_older_imrec_is_read(lake):
    lake.current_path.write_text("000001")
    assert open_generation(lake).id == "000001"
    assert CurrentGeneration.parse(b"000001") == CurrentGeneration("000001", {})


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"lake": "x"}', b"\xff", b"null"])
def test_damaged_version_is_one_line_that_says_how_to_repair_it(lake, data):
    path = lake.layout.version_path
    path.write_bytes(data)
    for run in (lake.check_version, lake.open_for_writing, lambda: open_generation(lake)):
        with pytest.raises(
            SchemaMismatch, match=r"version.json is damaged: found .*, expected .*delete the file and run"
        ):
            run()
    path.unlink()
    lake.open_for_writing().check_version()


def test_error_names_its_file():
    error = DamagedGeneration(Path("lake/generations/000002/phash.npy"), "is damaged")
    assert str(error) == "generation 000002: phash.npy is damaged" and error.path.name == "phash.npy"
