"""The asset check of the quality of the images."""

from __future__ import annotations

import dagster as dg
import numpy as np

from imrec_dagster.asset_checks import quality_result
from imrec_dagster.asset_keys import GENERATION
from imrec_dagster.definitions import build_definitions
from imrec_dagster.resources import LakeResource
from tests.support import toy
from tests.support.pictures import encode


def lake_of(tmp_path, *, plain: int):
    toy.write_photos(tmp_path / "photos", [seed for seed in range(16) if seed % 4 != 2], specks=60)
    for number in range(plain):
        pixels = np.full((120, 160, 3), 40 * number, np.uint8)
        (tmp_path / "photos" / f"plain_{number}.png").write_bytes(encode(pixels, "PNG"))
    lake = toy.new_lake(tmp_path / "lake", ["phash"])
    toy.build(lake)
    return lake


def test_issues_are_counted_as_a_warning(tmp_path):
    lake = lake_of(tmp_path, plain=3)
    result = quality_result(lake)
    assert not result.passed and result.severity == dg.AssetCheckSeverity.WARN
    assert result.metadata["plain"].value == 3 and result.metadata["images"].value == 15
    assert "outlier" not in result.metadata
    assert not lake.layout.issues_path.exists()


def test_good_images_pass(tmp_path):
    result = quality_result(lake_of(tmp_path, plain=0))
    assert result.passed, result.metadata


def test_error_is_its_text_and_fails_no_run(tmp_path):
    lake = lake_of(tmp_path, plain=0)
    lake.current_path.unlink()
    for generation in lake.generations():
        (lake.generation_path(generation) / "rows.parquet").unlink()
    result = quality_result(lake)
    assert not result.passed and result.severity == dg.AssetCheckSeverity.WARN
    assert str(result.metadata["problems"].value)


def test_generation_declares_the_check_which_blocks_nothing(tmp_path):
    lake = lake_of(tmp_path, plain=0)
    graph = build_definitions(LakeResource(root=str(lake.root))).resolve_asset_graph()
    spec = graph.get_check_spec(dg.AssetCheckKey(GENERATION, "images_have_no_issues"))
    assert not spec.blocking
