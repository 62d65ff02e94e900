"""The definitions for Dagster: assets from the registry, checks that block, schedules and sensors."""

from dataclasses import fields
from datetime import timedelta

import dagster as dg
import pyarrow as pa
import pytest
import tomlkit

from imrec_core import Lake
from imrec_core.errors import BadSettings
from imrec_core.features import FEATURES
from imrec_core.lake.schemas import CATALOG, IMAGES, ROWS
from imrec_core.lake.settings import Settings
from imrec_core.lake.settings_template import settings_template
from imrec_dagster.asset_keys import MANIFEST, fitted_key
from imrec_dagster.definitions import build_definitions
from imrec_dagster.resources import LakeResource
from imrec_dagster.settings import DagsterSettings
from tests.support import toy
from tests.support.graph import assets_of

DERIVED = [f for f in FEATURES.values() if f.projection]
FITTED = [f for f in FEATURES.values() if f.is_fitted]
FROM_PIXELS = [f for f in FEATURES.values() if not f.projection]


def key_of(feature) -> dg.AssetKey:
    return dg.AssetKey(["features", feature.name])


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """A lake that has chosen every feature."""
    return toy.new_lake(tmp_path_factory.mktemp("lake"), list(FEATURES))


@pytest.fixture(scope="module")
def defs(lake) -> dg.Definitions:
    return build_definitions(LakeResource(root=str(lake.root)))


@pytest.fixture(scope="module")
def graph(defs):
    return defs.resolve_asset_graph()


@pytest.fixture(scope="module")
def extraction(lake) -> dg.AssetsDefinition:
    (found,) = (a for a in assets_of(lake) if isinstance(a, dg.AssetsDefinition) and dg.AssetKey("images") in a.keys)
    return found


def test_graph_has_the_features_of_the_lake_and_no_other(tmp_path):
    toy.new_lake(tmp_path, ["resnet18", "phash"])  # its weights are not on this machine
    keys = build_definitions(LakeResource(root=str(tmp_path))).resolve_asset_graph().get_all_asset_keys()
    names = {"catalog", "shard_manifest", "images", "features/resnet18", "features/phash", "generation", "map"}
    names |= {"features/resnet18_content", "fitted/resnet18_content"}
    assert {key.to_user_string() for key in keys} == names


def test_definitions_load(defs):
    dg.Definitions.validate_loadable(defs)


def test_assets_are_those_of_the_registry(graph):
    expected = {"catalog", "shard_manifest", "images", "generation", "map"}
    expected |= {f"features/{name}" for name in FEATURES} | {f"fitted/{f.name}" for f in FITTED}
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == expected


def test_all_pixel_features_are_in_the_one_step_that_decodes(extraction):
    assert extraction.keys == {dg.AssetKey("images"), *map(key_of, FROM_PIXELS)}
    assert extraction.can_subset


@pytest.mark.parametrize("feature", FEATURES.values(), ids=list(FEATURES))
def test_feature_has_two_checks_and_both_block(graph, feature):
    checks = {k.name: graph.get_check_spec(k) for k in graph.asset_check_keys if k.asset_key == key_of(feature)}
    assert set(checks) == {"rows_match_manifest", "vectors_are_sound"}
    assert all(check.blocking for check in checks.values())


@pytest.mark.parametrize(("asset", "check"), [("images", "rows_match_manifest"), ("generation", "recall_at_10")])
def test_images_and_generation_are_checked_too(graph, asset, check):
    found = {k.name: k for k in graph.asset_check_keys if k.asset_key == dg.AssetKey(asset)}[check]
    assert graph.get_check_spec(found).blocking


@pytest.mark.parametrize("feature", FEATURES.values(), ids=list(FEATURES))
def test_feature_asset_says_what_the_declaration_says(graph, feature):
    node = graph.get(key_of(feature))
    columns = node.metadata["dagster/column_schema"].columns
    assert [(c.name, c.type) for c in columns] == [(f.name, str(f.type)) for f in feature.schema]
    assert node.metadata["dims"] == feature.dims
    assert node.metadata["metrics"].split(", ") == [m.name for m in feature.metrics]
    assert node.description == feature.summary
    assert node.code_version.partition("-")[0] == str(feature.version)


@pytest.mark.parametrize(
    ("name", "schema"), [("catalog", CATALOG), ("shard_manifest", CATALOG), ("images", IMAGES), ("generation", ROWS)]
)
def test_asset_shows_the_columns_of_its_table(graph, name, schema):
    columns = graph.get(dg.AssetKey(name)).metadata["dagster/column_schema"].columns
    assert [c.name for c in columns] == schema.names


def test_every_asset_says_what_it_is_of_which_kind_and_step_and_whose(graph):
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description and node.kinds and node.owners == ["team:imrec"], key
    steps = {key.to_user_string(): graph.get(key).tags["imrec/step"] for key in graph.get_all_asset_keys()}
    assert {name: steps[name] for name in ("catalog", "shard_manifest", "images", "generation", "map")} == {
        "catalog": "scan", "shard_manifest": "scan", "images": "extract", "generation": "publish", "map": "map",
    }  # fmt: skip
    for feature in FEATURES.values():
        assert steps[f"features/{feature.name}"] == ("project" if feature.projection else "extract")
    assert {steps[f"fitted/{feature.name}"] for feature in FITTED} == {"fit"}


def test_every_column_of_every_table_is_described(graph):
    for key in graph.get_all_asset_keys():
        schema = graph.get(key).metadata.get("dagster/column_schema")
        assert schema is not None or key.path[0] == "fitted", key
        missing = [column.name for column in (schema.columns if schema else []) if not column.description]
        assert not missing, (key, missing)


def test_owner_of_lake_toml_owns_all_assets(tmp_path):
    lake = toy.new_lake(tmp_path / "lake", ("phash",), dagster={"owner": "me@photos.org"})
    graph = build_definitions(LakeResource(root=str(lake.root))).resolve_asset_graph()
    assert {owner for key in graph.get_all_asset_keys() for owner in graph.get(key).owners} == {"me@photos.org"}


def test_derived_feature_depends_on_its_base_and_its_fit(graph):
    assert DERIVED
    for feature in DERIVED:
        (base,) = map(key_of, feature.bases)
        assert graph.get(key_of(feature)).parent_keys == {base, fitted_key(feature.name)}
        assert graph.get(fitted_key(feature.name)).parent_keys == {base}


def test_feature_that_learns_from_pictures_depends_on_the_manifests_and_its_fit(graph):
    learnt = [f for f in FITTED if f.learnt]
    assert learnt
    for feature in learnt:
        assert graph.get(key_of(feature)).parent_keys == {MANIFEST, fitted_key(feature.name)}
        assert graph.get(fitted_key(feature.name)).parent_keys == {MANIFEST}
    assert graph.get(key_of(FEATURES["rgb_histogram"])).parent_keys == {MANIFEST}


def test_every_asset_is_in_the_group_of_its_kind(graph):
    groups = {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    for feature in FEATURES.values():
        assert groups[f"features/{feature.name}"] == feature.group
    assert {groups[f"fitted/{f.name}"] for f in FITTED} == {"fitted"}
    assert [groups[name] for name in ("catalog", "shard_manifest", "images", "generation", "map")] == [
        "catalog", "catalog", "images", "index", "map",
    ]  # fmt: skip
    assert {
        "colour", "hashes", "structure", "local", "networks", "projections", "fitted", "images", "catalog", "index",
        "map",
    } == set(groups.values())  # fmt: skip


OWN = {
    "histograms": {"coarse": {"levels": [4, 4, 4]}},
    "projections": {
        "less": {"base": "coarse", "dims": 8},
        "least": {"base": "extract", "dims": 3},
        "type": {"base": "hog", "dims": 3},
    },
    "combined": {"extract": {"less": 1, "coarse:hellinger": 1, "coarse:correlation": 1}},
}


def test_features_of_the_lake_are_assets_like_all_others(tmp_path):
    lake = toy.new_lake(tmp_path / "lake", ("phash",), **OWN)
    ours = build_definitions(LakeResource(root=str(lake.root)))
    dg.Definitions.validate_loadable(ours)
    graph = ours.resolve_asset_graph()

    def parents(name: str) -> set[str]:
        return {key.to_user_string() for key in graph.get(dg.AssetKey(name.split("/"))).parent_keys}

    assert parents("features/coarse") == {"shard_manifest"}
    assert parents("features/less") == {"features/coarse", "fitted/less"}
    assert parents("features/extract") == {"features/less", "features/coarse", "fitted/extract"}
    assert parents("fitted/extract") == {"features/less", "features/coarse"}
    assert parents("features/least") == {"features/extract", "fitted/least"}
    assert {f"features/{name}" for name in ("coarse", "less", "extract", "least", "type", "phash", "hog")} <= parents(
        "generation"
    )
    groups = {name: graph.get(dg.AssetKey(["features", name])).group_name for name in ("coarse", "less", "extract")}
    assert groups == {"coarse": "colour", "less": "projections", "extract": "combined"}
    derived = {f"{kind}/{name}" for kind in ("features", "fitted") for name in ("less", "extract", "least", "type")}
    assert targets(ours) == {"images", "features/coarse", "features/phash", "features/hog", "generation", *derived}


def test_other_declaration_of_a_lake_is_another_code_version_of_that_feature_and_its_fit_alone(tmp_path):
    def versions() -> dict[str, str | None]:
        graph = build_definitions(LakeResource(root=str(lake.root))).resolve_asset_graph()
        return {key.to_user_string(): graph.get(key).code_version for key in graph.get_all_asset_keys()}

    lake = toy.new_lake(tmp_path / "lake", ("phash",), **OWN)
    before = versions()
    assert versions() == before
    toy.set_to(lake, projections={**OWN["projections"], "less": {"base": "coarse", "dims": 9}})
    after = versions()
    assert {name for name in after if after[name] != before[name]} == {"features/less", "fitted/less"}


def test_lake_whose_declarations_cannot_be_keeps_nothing_from_loading(tmp_path):
    lake = toy.new_lake(tmp_path / "lake", ("phash",), combined={"mix": {"phash": -1, "hog": 1}})
    ours = build_definitions(LakeResource(root=str(lake.root)))
    dg.Definitions.validate_loadable(ours)
    assert dg.AssetKey(["features", "mix"]) not in ours.resolve_asset_graph().get_all_asset_keys()


def test_generation_depends_on_every_feature_that_it_holds(graph):
    features = {key_of(feature) for feature in FEATURES.values()}
    assert graph.get(dg.AssetKey("generation")).parent_keys == {dg.AssetKey("images"), *features}


def test_everything_made_of_a_shard_has_a_partition_per_shard(graph):
    partitioned = {k for k in graph.get_all_asset_keys() if graph.get(k).is_partitioned}
    assert partitioned == {dg.AssetKey("images"), dg.AssetKey("shard_manifest"), *map(key_of, FEATURES.values())}
    assert {graph.get(key).partitions_def.name for key in partitioned} == {"image_shards"}


@pytest.mark.parametrize(
    ("sizes", "images_per_run", "shards_per_run"),
    [((), 40_000, 9), ((16, 16, 16), 40_000, 2500), ((400, 200), 900, 3), ((5000,), 40, 1)],
    ids=["new lake", "small shards", "setting", "large shards"],
)
def test_backfill_takes_as_many_shards_per_run_as_hold_its_images(tmp_path, sizes, images_per_run, shards_per_run):
    lake = toy.new_lake(tmp_path / "lake", ("phash",), shard_size=4096, dagster={"images_per_run": images_per_run})
    for number, size in enumerate(sizes):
        table = pa.table({name: pa.nulls(size, CATALOG.field(name).type) for name in CATALOG.names}, schema=CATALOG)
        lake.write_table(lake.catalog_path(f"photos-{number:04d}"), table, {})
    for asset in assets_of(lake):
        if isinstance(asset, dg.AssetsDefinition) and asset.partitions_def and asset.is_executable:
            assert asset.backfill_policy == dg.BackfillPolicy.multi_run(shards_per_run)


def test_schedules_have_the_times_of_lake_toml(tmp_path):
    times = {"scan_schedule": "5 22 * * 1", "reindex_schedule": "7 23 * * 2", "check_schedule": "9 4 * * 3"}
    toy.new_lake(tmp_path / "lake", dagster=times)
    ours = build_definitions(LakeResource(root=str(tmp_path / "lake")))
    assert {s.name: s.cron_schedule for s in ours.schedules} == {
        "nightly_scan": "5 22 * * 1",
        "nightly_reindex": "7 23 * * 2",
        "weekly_check": "9 4 * * 3",
    }


@pytest.mark.parametrize(
    ("cron", "warned_after", "failed_after"),
    [
        ("0 3 * * *", timedelta(hours=25), timedelta(hours=49)),
        ("0 3 * * 1-5", timedelta(hours=73), timedelta(hours=145)),  # from Friday to Monday
        ("*/30 * * * *", timedelta(hours=1.5), timedelta(hours=2)),
    ],
)
def test_generation_may_be_as_old_as_the_schedule_of_lake_toml_lets_it_be(tmp_path, cron, warned_after, failed_after):
    lake = toy.new_lake(tmp_path / "lake", ("phash",), dagster={"reindex_schedule": cron})
    graph = build_definitions(LakeResource(root=str(lake.root))).resolve_asset_graph()
    policy = graph.get(dg.AssetKey("generation")).freshness_policy
    assert policy.warn_window.to_timedelta() == warned_after
    assert policy.fail_window.to_timedelta() == failed_after


def test_time_zone_of_lake_toml_is_that_of_all_schedules_and_of_the_freshness(tmp_path):
    lake = toy.new_lake(tmp_path / "lake", ("phash",), dagster={"timezone": "Europe/Berlin"})
    ours = build_definitions(LakeResource(root=str(lake.root)))
    assert {schedule.execution_timezone for schedule in ours.schedules} == {"Europe/Berlin"}
    policy = ours.resolve_asset_graph().get(dg.AssetKey("generation")).freshness_policy
    assert policy.warn_window.to_timedelta() == timedelta(hours=26)  # the day on which summer time ends has 25 hours


def test_time_zone_is_utc_by_default(defs):
    assert {schedule.execution_timezone for schedule in defs.schedules} == {"UTC"}


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("Europe/Berln", "did you mean 'Europe/Berlin'"),
        ("Europe", "expected a name of the IANA time zone database"),
        ("", "such as 'Europe/Berlin', or 'UTC'"),
        ("../UTC", "expected a name"),
        (1, "such as 'Europe/Berlin', or 'UTC'"),
    ],
)
def test_time_zone_that_is_none_is_refused_with_an_example(value, advice):
    with pytest.raises(BadSettings, match=f"lake.toml: dagster: timezone is {value!r}; .*{advice}"):
        DagsterSettings.of(Settings(dagster={"timezone": value}))


def test_template_of_lake_toml_has_the_defaults_of_the_schedules():
    lines = settings_template().partition("# [dagster]\n")[2].partition("\n\n")[0].splitlines()
    assert lines == [f"# {f.name} = {tomlkit.item(f.default).as_string()}" for f in fields(DagsterSettings)]


def test_lake_toml_that_is_no_toml_keeps_nothing_from_loading(tmp_path):
    lake = toy.new_lake(tmp_path / "lake")
    lake.settings_path.write_text("shard_size = many")
    ours = build_definitions(LakeResource(root=str(lake.root)))
    dg.Definitions.validate_loadable(ours)
    assert times(ours) == ["0 1 * * *", "0 3 * * *", "0 5 * * 0"]


def times(of: dg.Definitions) -> list[str]:
    return sorted(schedule.cron_schedule for schedule in of.schedules)


def test_schedules_by_their_names_of_version_0_1(tmp_path):
    lake = toy.new_lake(tmp_path / "lake", ("phash",))
    lake.settings_path.write_text('nightly_scan = "5 22 * * 1"\nnightly_reindex = "7 23 * * 2"\n')
    assert times(build_definitions(LakeResource(root=str(lake.root)))) == ["0 5 * * 0", "5 22 * * 1", "7 23 * * 2"]


@pytest.mark.parametrize("text", ["0 3 * * *", "*/5 1-6,22 1 jan-mar,12 MON", "* * * * 7", "0-30/10 22-6 * * sun"])
def test_schedules_as_cron_has_them(text):
    assert DagsterSettings.of(Settings(dagster={"scan_schedule": text})) == DagsterSettings(scan_schedule=text)


@pytest.mark.parametrize(
    "value", ["", "daily", "0 3 * *", "60 3 * * *", "0 3 0 * *", "*/0 * * * *", "1,, * * * *", 5, ["0 3 * * *"]]
)
def test_schedule_that_is_none_is_refused_with_an_example(value):
    with pytest.raises(
        BadSettings, match=r"reindex_schedule is .*; expected a cron expression \(minute, hour, .*'0 3 \* \* \*'"
    ):
        DagsterSettings.of(Settings(dagster={"reindex_schedule": value}))


def test_unknown_setting_of_the_schedules_is_refused_with_the_nearest():
    with pytest.raises(BadSettings, match="dagster: no setting named 'scan_shedule'; did you mean 'scan_schedule'"):
        DagsterSettings.of(Settings(dagster={"scan_shedule": "0 3 * * *"}))


def test_invalid_schedule_keeps_the_features_and_fails_the_next_scan(tmp_path):
    lake = toy.new_lake(tmp_path / "lake", ("phash",), dagster={"scan_schedule": "daily"})
    ours = build_definitions(LakeResource(root=str(lake.root)))
    assert times(ours) == ["0 1 * * *", "0 3 * * *", "0 5 * * 0"]
    assert targets(ours) == {"images", "features/phash", "generation"}
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(BadSettings, match="scan_schedule is 'daily'"):
        ours.resolve_job_def("scan").execute_in_process(instance=instance)


def targets(of: dg.Definitions) -> set[str]:
    """Return the assets that `catch_up` may request."""
    (sensor,) = (s for s in of.sensors if s.name == "catch_up")
    keys = sensor.job.selection.resolve(of.resolve_asset_graph())
    return {key.to_user_string() for key in keys}


def test_catch_up_runs_without_being_switched_on_over_all_but_scan_and_map(defs):
    (sensor,) = (s for s in defs.sensors if s.name == "catch_up")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    features = {f"features/{name}" for name in FEATURES} | {f"fitted/{f.name}" for f in FITTED}
    assert targets(defs) == {"images", "generation"} | features


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("images_per_run", 0, "a number of images from 1 to 100000000"),
        ("images_per_run", True, "a number of images"),
        ("reindex_minutes", "60", "a number of minutes from 1 to 525600"),
        ("executor", "dask", "one of in_process, multiprocess"),
        ("owner", "me", "a team, such as 'team:photos', or an email address"),
        ("owner", ["team:photos"], "a team"),
    ],
)
def test_other_settings_of_dagster_are_checked(name, value, expected):
    with pytest.raises(BadSettings, match=f"dagster: {name} is .*; expected {expected}"):
        DagsterSettings.of(Settings(dagster={name: value}))


@pytest.mark.parametrize(("name", "executor"), [("in_process", "in_process"), ("multiprocess", "multiprocess")])
def test_executor_is_that_of_lake_toml(tmp_path, name, executor):
    lake = toy.new_lake(tmp_path / "lake", ("phash",), dagster={"executor": name})
    assert build_definitions(LakeResource(root=str(lake.root))).executor.name == executor


def test_executor_can_be_given(tmp_path):
    lake = toy.new_lake(tmp_path / "lake", ("phash",))
    executor = dg.multiprocess_executor.configured({"max_concurrent": 7}, name="mine")
    assert build_definitions(LakeResource(root=str(lake.root)), executor=executor).executor is executor
