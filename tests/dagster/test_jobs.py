"""Jobs and launchpads: what a person does who has nothing but Dagster's page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from imrec_core import Lake
from imrec_core.errors import BadSource, DeclarationError, LakeError
from imrec_dagster.code_location import build_definitions
from imrec_dagster.home import open_instance
from imrec_dagster.resources import LakeResource
from tests.support import toy
from tests.support.graph import CatchUp, findable, resource

pytestmark = pytest.mark.usefixtures("blank_plots")


@pytest.fixture
def lake(tmp_path) -> Lake:
    """A new lake without a source; photos are beside it."""
    toy.write_photos(tmp_path / "photos", range(12))
    return toy.new_lake(tmp_path / "lake", ("rgb_histogram", "phash"), sources={})


@pytest.fixture
def instance(lake) -> Iterator[dg.DagsterInstance]:
    with open_instance(lake.dagster_home, lake) as instance:
        yield instance


def run(lake: Lake, instance: dg.DagsterInstance, job: str, ops: dict[str, Any] | None = None):
    config = {"ops": {name: {"config": values} for name, values in (ops or {}).items()}}
    return (
        build_definitions(resource(lake)).resolve_job_def(job).execute_in_process(instance=instance, run_config=config)
    )


def test_job_build_makes_an_empty_lake_searchable(lake, instance):
    sources = {"photos": str(lake.root.parent / "photos")}
    result = run(lake, instance, "build", {"bring_up_to_date": {"sources": sources}})
    assert result.success
    assert findable(lake) == {f"photo_{n:03d}.jpg" for n in range(12)}
    assert f'photos = "{sources["photos"]}"' in lake.settings_path.read_text()
    assert CatchUp(lake, instance).tick() == {}
    assert {record.status for record in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}


def test_job_build_deletes_partitions_of_a_source_that_is_gone(lake, instance):
    toy.write_photos(lake.root.parent / "more", range(20, 24))
    sources = {name: str(lake.root.parent / name) for name in ("photos", "more")}
    run(lake, instance, "build", {"bring_up_to_date": {"sources": sources}})
    assert set(instance.get_dynamic_partitions("image_shards")) == {"photos-0000", "more-0000"}
    toy.set_to(lake, sources={"photos": lake.root.parent / "photos"})
    run(lake, instance, "build")
    assert instance.get_dynamic_partitions("image_shards") == ["photos-0000"]


def test_catalog_of_an_empty_lake_says_how_to_add_a_source(lake, instance):
    assert CatchUp(lake, instance).tick() == {}
    with pytest.raises(
        BadSource, match=r"no image folder yet; in the launchpad of catalog .* or run: imrec sources add"
    ):
        run(lake, instance, "scan")


def test_catalog_adds_the_sources_of_its_launchpad(lake, instance):
    photos = lake.root.parent / "photos"
    for _ in range(2):  # the launchpad keeps its configuration for the next run
        assert run(lake, instance, "scan", {"catalog": {"sources": {"photos": str(photos)}}}).success
    assert lake.settings().sources == {"photos": photos}
    assert "generation" in CatchUp(lake, instance).work()
    assert len(findable(lake)) == 12


def test_source_of_the_launchpad_that_holds_no_image_is_refused_and_not_written(lake, instance):
    (lake.root.parent / "empty").mkdir()
    with pytest.raises(BadSource, match="empty"):
        run(lake, instance, "scan", {"catalog": {"sources": {"empty": str(lake.root.parent / "empty")}}})
    assert lake.settings().sources == {}


def test_launchpad_that_names_another_lake_is_refused(lake, instance, tmp_path):
    other = toy.new_lake(tmp_path / "other")
    definitions = build_definitions(resource(other))
    with pytest.raises(dg.DagsterResourceFunctionError) as raised:
        definitions.resolve_job_def("scan").execute_in_process(instance=instance)
    cause = raised.value.__cause__
    assert isinstance(cause, LakeError) and f"belongs to the lake {lake.root}" in str(cause)
    assert instance.get_dynamic_partitions("image_shards") == []


def test_device_of_the_launchpad_that_cannot_be_is_refused(lake, instance):
    definitions = build_definitions(LakeResource(root=str(lake.root), device="cuda:0,cpu"))
    with pytest.raises(dg.DagsterResourceFunctionError) as raised:
        definitions.resolve_job_def("scan").execute_in_process(instance=instance)
    assert isinstance(raised.value.__cause__, DeclarationError)
    assert "found 'cpu' in 'cuda:0,cpu'" in str(raised.value.__cause__)
