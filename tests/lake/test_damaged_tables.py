"""Damaged tables, fits and other files of a lake: found by `imrec check`, and made again by the next build."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from imrec_core import Lake, Recommender
from imrec_core.catalog import manifests
from imrec_core.errors import DamagedTable, ImrecError, SchemaMismatch
from imrec_core.index.lake_check import check_lake
from imrec_core.index.opening import open_generation
from imrec_core.sql import views
from imrec_dagster.builder import build_lake
from imrec_dagster.cli.main import imrec
from tests.support import toy

LESS = {"less": {"base": "rgb_histogram", "dims": 3}}
SHARD = "photos-0002"
TABLES = ("catalog/photos-0002.parquet", "images/photos-0002.parquet", "features/phash/photos-0002.parquet")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    toy.write_photos(folder / "photos", range(20))
    build_lake(toy.new_lake(folder / "lake", ("phash", "rgb_histogram"), shard_size=8))
    return folder


@pytest.fixture
def lake(built, tmp_path) -> Lake:
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    for path in (built / "photos").iterdir():  # with their times, by which a scan knows them
        shutil.copystat(path, tmp_path / "photos" / path.name)
    lake = Lake(tmp_path / "lake").open_for_writing()
    toy.set_to(lake, sources={"photos": tmp_path / "photos"})
    return lake


def spoil(path: Path, how: str = "page") -> None:
    data = bytearray(path.read_bytes())
    if how == "page":
        at = data.index(b"\x28\xb5\x2f\xfd") + 8  # inside the first compressed page
        data[at] ^= 8
    elif how == "footer":
        data[-9] ^= 0xFF
        data[-5:-4] = b"\xff"
    else:
        data = bytearray() if how == "empty" else data[: len(data) // 2]
    path.write_bytes(data)


def state(lake: Lake) -> dict[str, object]:
    generation = open_generation(lake)
    table = generation.live_table(["image_id", "path", "shard", "content_hash"])
    return {row["path"]: row for row in table.to_pylist()}


@pytest.mark.parametrize(("name", "how"), [*zip(TABLES, ["page", "empty", "footer"], strict=True)])
def test_damaged_table_is_made_again_for_its_shard_alone(lake, name, how):
    before, path = state(lake), lake.root / name
    times = {p: p.stat().st_mtime_ns for p in lake.root.rglob("*-000[1-3].parquet")}
    spoil(path, how)
    (lake.root.parent / "photos" / "photo_001.jpg").unlink()  # something to do in another shard
    build_lake(lake)
    assert check_lake(lake).damaged == ()
    after = state(lake)
    assert after == {path: row for path, row in before.items() if path != "photo_001.jpg"}
    written = {p.stem for p, time in times.items() if p.stat().st_mtime_ns != time}
    assert written <= {SHARD, "photos-0001"}


def test_damaged_manifest_and_images_table_stop_no_other_source(lake):
    toy.write_photos(lake.root.parent / "more", range(30, 34))
    toy.set_to(lake, sources={**lake.settings().sources, "more": lake.root.parent / "more"})
    for name in TABLES:
        spoil(lake.root / name)
    build_lake(lake)
    assert len(state(lake)) == 24 and check_lake(lake).damaged == ()


def test_damaged_manifest_alone_decodes_nothing_again(lake):
    spoil(lake.root / TABLES[0])
    version = json.dumps(lake.made_from(lake.images_path(SHARD)))
    found = manifests.update(lake)
    assert [m.shard for m in found.manifests if m.is_changed] == [SHARD]
    assert json.dumps(lake.made_from(lake.images_path(SHARD))) == version
    assert manifests.diff(lake).manifests == ()


@pytest.mark.parametrize("name", [*TABLES, "generations/000001/phash.npy", "generations/000001/rows.parquet"])
def test_check_names_a_damaged_file_and_moves_it_aside(lake, name):
    assert check_lake(lake).damaged == ()
    path = lake.root / name
    spoil(path) if path.suffix == ".parquet" else path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    (found,) = check_lake(lake).damaged
    assert (found.path, found.repair, found.moved) == (str(path), "run: imrec build", True)
    assert not path.exists() and (lake.layout.damaged_folder / name).exists()
    build_lake(lake)
    assert path.exists() or name.startswith("generations")
    assert check_lake(lake).damaged == () and len(state(lake)) == 20


def test_command_prints_damage_and_exits_with_1(lake):
    runner = CliRunner()
    whole = runner.invoke(imrec, ["check", "--lake", str(lake.root)])
    assert whole.exit_code == 0 and whole.output.startswith("0 damaged files of ")
    spoil(lake.root / TABLES[2])
    found = runner.invoke(imrec, ["check", "--json", "--lake", str(lake.root)])
    assert found.exit_code == 1
    (damage,) = json.loads(found.output)["damaged"]
    assert damage["path"].endswith("phash/photos-0002.parquet") and damage["repair"] == "run: imrec build"


def test_check_reads_on_after_damaged_settings_and_version(lake):
    lake.settings_path.write_bytes(b"\xff\xfe")
    lake.layout.version_path.write_bytes(b"")
    lake.current_path.write_bytes(b"x")
    spoil(lake.root / TABLES[1])
    found = {Path(damage.path).name: damage for damage in check_lake(lake).damaged}
    assert {"lake.toml", "version.json", "CURRENT", "photos-0002.parquet"} <= set(found)
    assert found["lake.toml"].repair == "correct it" and not found["lake.toml"].moved


def test_damaged_fit_is_made_again(tmp_path):
    toy.write_photos(tmp_path / "photos", range(20))
    lake = toy.new_lake(
        tmp_path / "lake", ("rgb_histogram",), projections={"less": {"base": "rgb_histogram", "dims": 3}}
    )
    build_lake(lake)
    version = lake.fitted_version("less")
    path = lake.fitted_path("less", version)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedTable, match=r"is damaged .*run: imrec build"):
        Lake(lake.root).load_fitted("less", version)
    assert [Path(d.path) for d in check_lake(lake).damaged] == [path]
    build_lake(lake)
    assert lake.fitted_version("less") == version and check_lake(lake).damaged == ()


@pytest.mark.parametrize("how", ["page", "footer", "empty", "half"])
@pytest.mark.parametrize("name", [TABLES[2], "generations/000001/rows.parquet"])
def test_sql_on_a_damaged_table_is_one_line(lake, name, how):
    spoil(lake.root / name, how)
    table = "rows" if "rows" in name else "phash"
    result = CliRunner().invoke(imrec, ["sql", f"SELECT * FROM {table}", "--csv", "--lake", str(lake.root)])
    if result.exit_code:
        assert isinstance(result.exception, ImrecError) and "\n" not in str(result.exception)
    else:
        assert name != "generations/000001/rows.parquet"  # whose checksum is compared
    with pytest.raises(SchemaMismatch) if table == "phash" else pytest.raises(ImrecError):
        Lake(lake.root).read_table(lake.root / name) if table == "phash" else views.query(lake, "SELECT * FROM rows")


def test_search_does_not_read_tables(lake):
    for name in TABLES:
        spoil(lake.root / name)
    assert len(Recommender(lake).search(lake.root.parent / "photos" / "photo_001.jpg", k=5)) == 5
