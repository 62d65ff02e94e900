"""The map as an asset of Dagster: made on demand, shown with its picture."""

import base64
import io
import json

import dagster as dg
import pytest
from PIL import Image

from imrec_core.maps import load_map, map_names
from imrec_dagster.builder import Builder
from imrec_dagster.definitions import build_definitions
from tests.support import toy
from tests.support.graph import CatchUp, events, materialize, resource, shown

MAP = dg.AssetKey("map")

pytest.importorskip("umap", reason="umap-learn is not installed")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def lake(tmp_path):
    toy.write_photos(tmp_path / "photos", range(20))
    return toy.new_lake(tmp_path / "lake", ("rgb_histogram", "phash"))


def test_map_shows_rows_clusters_and_its_picture(lake, instance):
    toy.build(lake)
    config = {"ops": {"map": {"config": {"feature": "phash", "method": "umap", "name": "hashes"}}}}
    assert materialize(lake, instance, MAP, run_config=config).success
    (event,) = events(instance, MAP)
    told = shown(event)
    made = load_map(lake, "hashes")
    assert (told["dagster/row_count"], told["name"], told["feature"]) == (20, "hashes", "phash:hamming")
    assert told["clusters"] == len(made.clusters) and told["path"] == str(lake.map_path("hashes"))
    picture = base64.b64decode(told["picture"].removeprefix("![](data:image/png;base64,").removesuffix(")"))
    assert Image.open(io.BytesIO(picture)).size == (800, 580)
    noted = [json.loads(line) for line in lake.run_logs()[-1].read_text().splitlines()]
    assert [(run["what"], run["name"], run["rows"]) for run in noted] == [("map", "hashes", 20)]


def test_feature_that_is_none_fails_the_run_and_leaves_no_map(lake, instance):
    toy.build(lake)
    config = {"ops": {"map": {"config": {"feature": "phsh"}}}}
    ran = materialize(lake, instance, MAP, run_config=config, raise_on_error=False)
    assert not ran.success and map_names(lake) == []
    assert "did you mean 'phash'" in str(ran.get_step_failure_events()[0].event_specific_data.error)


def test_neither_a_build_nor_the_sensor_makes_a_map(lake, instance):
    Builder(lake, instance).build()
    assert "map" not in CatchUp(lake, instance).tick()
    assert events(instance, MAP) == [] and map_names(lake) == []


def test_map_depends_on_the_generation_and_nothing_on_it(lake):
    graph = build_definitions(resource(lake)).resolve_asset_graph()
    assert graph.get(MAP).parent_keys == {dg.AssetKey("generation")} and not graph.get(MAP).child_keys
