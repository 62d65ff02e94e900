"""Facets: counts of images by folder, date, camera, size and kind, compared with SQL."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imrec_core.errors import BadFilter, UnknownName
from imrec_core.index.row_table import RowTable
from imrec_core.search.facet_folders import MOST_FOLDERS
from imrec_core.search.facet_values import MOST_VALUES
from imrec_core.search.facets import Facets
from imrec_core.sql.policy import SqlPolicy
from imrec_core.sql.row_filter import RowFilter

ROWS = 600
POLICY = SqlPolicy.untrusted(30)
CAMERAS = [None, "Nikon D750", "Olympus 'Tough'", "iPhone  13", *(f"Rare {i}" for i in range(40))]
CHOICES = {
    "camera": "(camera = 'Nikon D750' OR camera IS NULL)",
    "size": "width::BIGINT * height BETWEEN 1000000 AND 3999999",
    "taken": "taken >= '2010-01-01' AND taken < '2015-01-01'",
    "folder": "source = 'photos' AND starts_with(path, 'trips/')",
    "colour": "NOT is_grey",
    "other": "width > 200",
}


def generation(folder: Path, **columns: Any) -> Any:
    """Return what facets read of a generation: the rows of a file, one in twenty removed."""
    rng = np.random.default_rng(5)
    weights = np.array([8, 8, 8, 8, *[1] * 40]) / 72
    cameras = [CAMERAS[i] for i in rng.choice(len(CAMERAS), ROWS, p=weights)]
    folders = ["", "trips/", "trips/2024/", "trips/2024/sea/", "trip/", "Ä 'x'/"]
    days = [datetime(2004, 3, 1) + timedelta(days=int(day)) for day in rng.integers(0, 6000, ROWS)]
    table = {
        "row": np.arange(ROWS),
        "source": ["photos" if i % 3 else "scans" for i in range(ROWS)],
        "path": [f"{folders[f]}{i}.jpg" for i, f in enumerate(rng.integers(0, len(folders), ROWS))],
        "width": rng.choice([100, 1000, 2000, 4000], ROWS).astype(np.int32),
        "height": rng.choice([100, 1000, 3000, 8000], ROWS).astype(np.int32),
        "format": [("JPEG", "PNG")[i] for i in rng.integers(0, 2, ROWS)],
        "camera": cameras,
        "taken": pa.array(days, pa.timestamp("us"), mask=rng.random(ROWS) < 0.2),
        "is_grey": rng.random(ROWS) < 0.3,
        "has_alpha": rng.random(ROWS) < 0.1,
        "frames": rng.choice([1, 4], ROWS).astype(np.int32),
        "damaged": np.zeros(ROWS, np.bool_),
        "removed": rng.random(ROWS) < 0.05,
        **columns,
    }
    path = folder / "rows.parquet"
    pq.write_table(pa.table({name: values for name, values in table.items() if values is not None}), path)
    return opened(path)


def opened(path: Path) -> Any:
    rows = RowTable(path)
    removed = rows.columns("removed")["removed"].to_numpy(zero_copy_only=False)

    class Rows(SimpleNamespace):
        def __len__(self) -> int:
            return len(removed)

    return Rows(
        columns=rows.columns,
        column_names=rows.column_names,
        is_live=~removed.astype(np.bool_),
        filter=RowFilter(path),
        rows_of=lambda ids: np.asarray(ids, np.int64),
    )


@pytest.fixture(scope="module")
def facets(tmp_path_factory: pytest.TempPathFactory) -> Facets:
    return Facets(generation(tmp_path_factory.mktemp("facets")), POLICY)


def count_sql(facets: Facets, *conditions: str) -> int:
    where = " AND ".join(f"({condition})" for condition in conditions if condition) or "true"
    return len(facets.generation.filter.rows(where, POLICY))


@pytest.mark.parametrize("names", [(), ("camera",), ("taken", "size"), tuple(CHOICES)], ids=len)
def test_counts_are_those_of_the_conditions_under_the_other_choices(facets, names):
    chosen = {name: CHOICES[name] for name in names}
    counts = facets.count(chosen)
    assert counts.images == count_sql(facets, *chosen.values())
    assert {facet.name for facet in counts.values} == {"camera", "size", "orientation", "format", "colour", "traits"}
    for facet in counts.values:
        others = [condition for name, condition in chosen.items() if name != facet.name]
        for value in facet.values:
            assert value.images == count_sql(facets, value.where, *others), (facet.name, value)
    others = [condition for name, condition in chosen.items() if name != "taken"]
    for one in counts.taken.bins:
        assert one.images == count_sql(facets, f"taken >= '{one.start}' AND taken < '{one.end}'", *others)
    assert counts.taken.missing == count_sql(facets, "taken IS NULL", *others)
    total = sum(one.images for one in counts.taken.bins) + counts.taken.missing + counts.taken.outside
    assert total == count_sql(facets, *others)


def test_values_of_a_facet_add_up(facets):
    for facet in facets.count({}).values:
        if facet.name != "traits":
            assert sum(value.images for value in facet.values) + facet.further_images == count_sql(facets)


def test_frequent_cameras_are_listed_and_others_counted(facets):
    camera = next(facet for facet in facets.count({}).values if facet.name == "camera")
    assert len(camera.values) == MOST_VALUES and camera.further_values > 0 and camera.further_images > 0
    listed = [value.images for value in camera.values]
    assert listed == sorted(listed, reverse=True)
    assert {"No camera", "Olympus 'Tough'", "iPhone 13"} <= {value.label for value in camera.values}
    rare = next(
        f"camera = '{name}'" for name in CAMERAS[4:] if f"camera = '{name}'" not in {v.where for v in camera.values}
    )
    chosen = next(facet for facet in facets.count({"camera": rare}).values if facet.name == "camera")
    assert rare in {value.where for value in chosen.values}


def test_folders_have_the_counts_of_their_conditions(facets):
    counts = facets.count({"size": CHOICES["size"]})
    assert [one.name for one in counts.sources.folders] == ["photos", "scans"]

    def check(folders: Any) -> int:
        for one in folders:
            assert one.images == count_sql(facets, one.where, CHOICES["size"]), one
        below = [facets.list_folders(o.source, o.folder, {"size": CHOICES["size"]}).folders for o in folders]
        assert [bool(inner) for inner in below] == [one.has_folders for one in folders]
        return len(folders) + sum(check(inner) for inner in below)

    assert check(counts.sources.folders) == 2 * (1 + 5)
    names = [one.name for one in facets.list_folders("photos", "", {}).folders]
    assert names == ["trip", "trips", "Ä 'x'"]


def test_folders_are_counted_without_the_choice_of_a_folder(facets):
    chosen = {"folder": CHOICES["folder"]}
    assert facets.list_folders("scans", "", chosen) == facets.list_folders("scans", "", {})
    assert facets.list_folders("scans", "trips", {}) == facets.list_folders("scans", "trips/", {})
    assert facets.list_folders("scans", "tri", {}).folders == []


def test_condition_of_a_folder_names_the_source_only_if_there_are_several(tmp_path):
    one = Facets(generation(tmp_path, source=["all"] * ROWS), POLICY)
    trips = next(folder for folder in one.list_folders("all", "", {}).folders if folder.name == "trips")
    assert trips.where == "starts_with(path, 'trips/')"
    assert trips.images == count_sql(one, trips.where)


def test_many_folders_are_cut_to_the_largest(tmp_path):
    paths = [f"{i % 300:03d}/{i}.jpg" if i < 320 else f"{i % 20:03d}/{i}.jpg" for i in range(ROWS)]
    many = Facets(generation(tmp_path, source=["all"] * ROWS, path=paths, removed=np.zeros(ROWS, np.bool_)), POLICY)
    found = many.list_folders("all", "", {})
    assert len(found.folders) == MOST_FOLDERS and found.further_folders == 300 - MOST_FOLDERS
    assert sum(one.images for one in found.folders) + found.further_images == ROWS
    assert {f"{i:03d}" for i in range(20)} <= {one.name for one in found.folders}


@pytest.mark.parametrize(("days", "unit"), [(1, "day"), (60, "day"), (200, "month"), (4000, "month"), (6000, "year")])
def test_bars_are_days_months_or_years_as_the_span_demands(tmp_path, days, unit):
    taken = [datetime(2004, 3, 1, 9) + timedelta(days=round(i * (days - 1) / (ROWS - 1))) for i in range(ROWS)]
    counts = Facets(generation(tmp_path, taken=pa.array(taken, pa.timestamp("us"))), POLICY).count({}).taken
    assert counts.unit == unit and 1 <= len(counts.bins) <= 144
    assert all(one.end == two.start for one, two in zip(counts.bins, counts.bins[1:], strict=False))
    assert counts.outside == counts.missing == 0


def test_span_of_the_histogram_can_be_chosen(facets):
    counts = facets.count({}, span=(date(2010, 5, 1), date(2010, 6, 15))).taken
    assert (counts.unit, counts.bins[0].start, counts.bins[-1].start) == ("day", date(2010, 5, 1), date(2010, 6, 15))
    assert counts.outside > 0
    assert facets.count({}, span=(date(1950, 1, 1), date(1951, 1, 1))).taken == facets.count({}).taken


def test_implausible_dates_are_outside(tmp_path):
    taken = [datetime(1601, 1, 1), datetime(2400, 1, 1), *[datetime(2020, 1, 1)] * (ROWS - 2)]
    whole = generation(tmp_path, taken=pa.array(taken, pa.timestamp("us")), removed=np.zeros(ROWS, np.bool_))
    counts = Facets(whole, POLICY).count({}).taken
    assert (len(counts.bins), counts.bins[0].images, counts.outside) == (1, ROWS - 2, 2)


def test_lake_without_dates_has_no_bars(tmp_path):
    none = generation(tmp_path, taken=pa.array([None] * ROWS, pa.timestamp("us")))
    counts = Facets(none, POLICY).count({}).taken
    assert counts.bins == [] and counts.missing == count_sql(Facets(none, POLICY))


def test_generation_of_an_earlier_version_has_fewer_facets(tmp_path):
    old = generation(tmp_path, taken=None, camera=None, is_grey=None, has_alpha=None, frames=None, damaged=None)
    counts = Facets(old, POLICY).count({})
    assert counts.taken is None
    assert {facet.name for facet in counts.values} == {"size", "orientation", "format"}


def test_facet_with_one_value_is_left_out(tmp_path):
    same = generation(tmp_path, format=["JPEG"] * ROWS, is_grey=np.zeros(ROWS, np.bool_))
    assert {"format", "colour"}.isdisjoint(facet.name for facet in Facets(same, POLICY).count({}).values)


def test_images_can_be_limited_to_some(facets):
    ids = np.flatnonzero(facets.generation.is_live)[:7]
    counts = facets.count({}, among=np.array([*ids, -1], np.int64))
    assert counts.images == 7 == sum(one.images for one in counts.sources.folders)


def test_invalid_conditions_and_names_are_errors(facets):
    with pytest.raises(BadFilter, match="no column named 'widht'"):
        facets.count({"other": "widht > 3"})
    with pytest.raises(BadFilter, match="a subquery is not allowed"):
        facets.list_folders("photos", "", {"other": "row IN (SELECT 1)"})
    with pytest.raises(UnknownName, match="no facet named 'camra'; did you mean 'camera'"):
        facets.count({"camra": "true"})
    with pytest.raises(UnknownName, match="no source named 'photo'; did you mean 'photos'"):
        facets.list_folders("photo", "", {})
