"""Extraction by the workers of a Dask cluster: the same tables as without, and an error that says what is wrong."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from imrec_core import Lake
from imrec_core.catalog import manifests
from imrec_core.errors import ClusterError, MissingDependency, MissingTable
from imrec_core.extraction import dask_cluster, shard_order
from imrec_core.extraction.report import ShardReport
from imrec_core.features import FEATURES, chosen_features
from imrec_core.models.encoders import load_encoder
from imrec_core.runtime.cpu import cpu_count
from imrec_dagster import definitions
from imrec_dagster.asset_keys import IMAGES, feature_key
from imrec_dagster.partitions import range_tags
from tests.support import toy

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'imrec[dask]'")

from tests.support.cluster import ROOT, cluster, in_use, pieces_done, some_errors, spans  # noqa: E402

CHEAP = ("rgb_histogram", "phash")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory) -> Iterator[str]:
    """Two workers of one thread each."""
    with cluster(tmp_path_factory.mktemp("cluster")) as address:
        yield address


@pytest.fixture
def on_workers(scheduler) -> Iterator[Callable[..., list]]:
    """What a function returns on each of the workers."""
    with distributed.Client(scheduler, set_as_default=False) as client:
        yield lambda ask: list(client.run(ask).values())


def scanned(lake: Lake) -> Lake:
    manifests.update(lake)
    return lake


def spread_over(scheduler: str, lake: Lake, **options) -> list[ShardReport]:
    return list(
        dask_cluster.extract_on_dask(
            lake,
            lake.live_shards(),
            [feature for feature in chosen_features(lake) if not feature.projection],
            scheduler=scheduler,
            **options,
        )
    )


def contents(lake: Lake) -> dict[str, tuple[object, object]]:
    """Every table with its metadata."""
    tables = toy.tables_of(lake, "images", "features")
    return {name: (table, table.schema.metadata) for name, table in tables.items()}


def plainly(lake: Lake) -> Lake:
    """Another lake of the same photos, extracted in this process."""
    other = toy.new_lake(lake.root.parent / "plain", lake.settings().features, shard_size=lake.settings().shard_size)
    manifests.update(other)
    toy.extract(other)
    return other


def test_two_workers_make_the_tables_that_one_process_makes(new_lake, scheduler, on_workers):
    lake = scanned(new_lake(16, (*CHEAP, "efficientnet_lite0"), built=False, shard_size=8))
    before = on_workers(pieces_done)
    counts: list[tuple[int, int]] = []
    reports = spread_over(scheduler, lake, on_images=lambda ok, failed: counts.append((ok, failed)))
    assert [after - b for b, after in zip(before, on_workers(pieces_done), strict=True)] == [1, 1]
    (begun, ended), (other_begun, other_ended) = (found[-1] for found in on_workers(spans))
    assert begun < other_ended and other_begun < ended  # at the same time
    assert sorted(report.shard for report in reports) == ["photos-0000", "photos-0001"]
    assert [sum(column) for column in zip(*counts, strict=True)] == [16, 0]
    ours, theirs = (toy.tables_of(one, "images", "features") for one in (lake, plainly(lake)))
    assert {n: (t, t.schema.metadata) for n, t in ours.items()} == {
        n: (t, t.schema.metadata) for n, t in theirs.items()
    }
    assert [r.table_bytes for r in spread_over(scheduler, lake)] == [{}, {}]  # all is up to date


def test_a_worker_loads_a_network_once_and_takes_as_many_cores_as_it_has_threads(new_lake, scheduler, on_workers):
    lake = scanned(new_lake(16, ("efficientnet_lite0",), built=False, shard_size=4))

    assert len(spread_over(scheduler, lake)) == 4
    assert on_workers(in_use) == [(1, 1, 2), (1, 1, 2)]


@pytest.mark.parametrize(("said", "cores"), [("1", 1), ("0", 1), ("9999", cpu_count()), ("", cpu_count())])
def test_cores_are_those_that_the_environment_leaves(monkeypatch, said, cores):
    monkeypatch.setenv("IMREC_CORES", said)
    assert cpu_count() == cores


def test_an_encoder_runs_in_as_many_streams_as_it_is_left_cores(monkeypatch):
    monkeypatch.setenv("IMREC_CORES", "1")
    encoder = load_encoder.__globals__["OpenVinoEncoder"](FEATURES["efficientnet_lite0"].model)
    assert len(encoder._queue) == 2


def test_imrec_build_extracts_on_the_cluster_that_the_environment_names(
    new_lake, scheduler, on_workers, imrec, monkeypatch
):
    lake = new_lake(24, CHEAP, built=False, shard_size=8)
    (lake.root.parent / "photos" / "photo_007.jpg").write_bytes(b"no picture")
    before = sum(on_workers(pieces_done))
    monkeypatch.setenv("IMREC_DASK", scheduler)
    done = imrec("build", "--lake", lake.root)
    assert done.status == 0, done.err
    assert "24 decoded" in done.out
    assert "in 3 shards 23 extracted, 1 failed" in done.out
    assert sum(on_workers(pieces_done)) - before == 3
    (lake.root.parent / "photos" / "photo_007.jpg").write_bytes(
        (lake.root.parent / "photos" / "photo_006.jpg").read_bytes()
    )
    assert "generation 000002: 24 images" in imrec("build", "--lake", lake.root).out
    assert sum(on_workers(pieces_done)) - before == 4


def test_a_run_of_the_ui_extracts_on_the_cluster_that_the_environment_names(
    new_lake, scheduler, on_workers, monkeypatch
):
    lake = new_lake(16, CHEAP, built=False, shard_size=8)
    before = on_workers(pieces_done)
    monkeypatch.setenv("IMREC_DASK", scheduler)
    monkeypatch.setenv("IMREC_LAKE", str(lake.root))
    try:
        defs = importlib.reload(definitions).defs
    finally:
        monkeypatch.undo()
        importlib.reload(definitions)
    with dg.DagsterInstance.ephemeral() as instance:
        assert defs.resolve_job_def("scan").execute_in_process(instance=instance).success
        ran = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[IMAGES, feature_key("phash")],
            tags=range_tags("photos-0000", "photos-0001"),
        )
        assert ran.success
        assert instance.get_materialized_partitions(IMAGES) == {"photos-0000", "photos-0001"}
    assert [after - b for b, after in zip(before, on_workers(pieces_done), strict=True)] == [1, 1]


def test_two_runs_at_a_time_do_not_take_each_others_tasks_or_progress(new_lake, scheduler, tmp_path):
    lakes = [scanned(toy.new_lake(tmp_path / name, CHEAP, shard_size=4)) for name in ("one", "other")]
    toy.write_photos(tmp_path / "photos", range(24))
    done: dict[Path, int] = {lake.root: 0 for lake in lakes}

    def run(lake: Lake) -> None:
        def count(ok: int, failed: int) -> None:
            done[lake.root] += ok + failed

        manifests.update(lake)
        spread_over(scheduler, lake, on_images=count)

    threads = [threading.Thread(target=run, args=(lake,)) for lake in lakes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(done.values()) == [24, 24]
    one, other = map(contents, lakes)
    assert len(one) == 18
    assert one == other


def test_what_a_killed_worker_had_under_way_is_done_by_another(new_lake, scheduler, on_workers):
    lake = scanned(new_lake(64, CHEAP, built=False, shard_size=8))
    victim = on_workers(os.getpid)[0]
    reports = []
    for report in dask_cluster.extract_on_dask(lake, lake.live_shards(), chosen_features(lake), scheduler=scheduler):
        if not reports:
            os.kill(victim, signal.SIGKILL)
        reports.append(report)
    assert sorted(report.shard for report in reports) == lake.live_shards()
    assert contents(lake) == contents(plainly(lake))
    with distributed.Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)  # its nanny brings it back, for the tests that follow


# -- errors ---------------------------------------------------------------------------------------------------


def test_error_of_a_worker_is_raised_as_it_is(new_lake, scheduler):
    lake = scanned(new_lake(8, ("sift_vlad",), built=False, shard_size=4))
    with pytest.raises(MissingTable, match="sift_vlad is not fitted yet"):
        spread_over(scheduler, lake)


def test_shards_that_were_done_before_an_error_are_reported(new_lake, scheduler, monkeypatch):
    monkeypatch.setattr(dask_cluster, "_split", lambda shards, workers: [shards])
    lake = scanned(new_lake(16, CHEAP, built=False, shard_size=4))
    shards, reports = [*lake.live_shards()[:2], "photos-0099"], []
    with pytest.raises(MissingTable, match="photos-0099"):
        reports += dask_cluster.extract_on_dask(lake, shards, chosen_features(lake), scheduler=scheduler)
        pytest.fail("it raised nothing")
    reports = []
    with pytest.raises(MissingTable, match="photos-0099"):
        for report in dask_cluster.extract_on_dask(lake, shards, chosen_features(lake), scheduler=scheduler):
            reports.append(report.shard)
    assert reports == shards[:2]


def test_shard_that_fails_on_a_worker_leaves_the_others(new_lake, scheduler):
    lake = scanned(new_lake(16, CHEAP, built=False, shard_size=4))
    errors, addresses = {}, []
    shards = ["photos-0099", *lake.live_shards()]
    reports = dask_cluster.extract_on_dask(
        lake, shards, chosen_features(lake), scheduler=scheduler, errors=errors, on_dashboard=addresses.append
    )
    assert sorted(report.shard for report in reports) == lake.live_shards()
    assert [(shard, type(error)) for shard, error in errors.items()] == [("photos-0099", MissingTable)]
    assert [address.partition(":")[0] for address in addresses] == ["http"]


def test_errors_come_from_a_worker_as_they_are_there(on_workers):
    for found in on_workers(some_errors):
        for error, wanted in zip(found, some_errors(), strict=True):
            assert (type(error), str(error), vars(error)) == (type(wanted), str(wanted), vars(wanted))


def test_errors_come_out_of_another_process_without_dask():
    code = (
        "import pickle; from tests.support.cluster import some_errors;print(pickle.loads(pickle.dumps(some_errors())))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == str(some_errors())


def test_worker_that_finds_another_lake_says_so(new_lake, scheduler, monkeypatch):
    lake = scanned(new_lake(8, CHEAP, built=False))
    other = replace(lake.settings(), shard_size=7)
    monkeypatch.setattr(lake, "settings", lambda: other)
    with pytest.raises(ClusterError, match=r"tcp://127.0.0.1:\d+ has another lake or none at .*lake"):
        spread_over(scheduler, lake)


def test_cluster_that_cannot_be_reached_is_one_line(new_lake, imrec, monkeypatch):
    lake = new_lake(4, CHEAP, built=False)
    monkeypatch.setattr(dask_cluster, "_CONNECT_TIMEOUT", 0.2)
    monkeypatch.setenv("IMREC_DASK", "tcp://127.0.0.1:1")
    failed = imrec("build", "--lake", lake.root)
    assert failed.status == 1
    assert failed.err.splitlines()[-1].startswith("imrec: the Dask scheduler at tcp://127.0.0.1:1 cannot be reached")
    assert "Traceback" not in failed.err


@pytest.mark.parametrize("address", ["nonsense", "http://127.0.0.1:1", "tcp://127.0.0.1"])
def test_address_that_is_none_is_told(new_lake, monkeypatch, address):
    monkeypatch.setattr(dask_cluster, "_CONNECT_TIMEOUT", 0.2)
    with pytest.raises(ClusterError, match=f"(address of a Dask scheduler '{address}'|{address} cannot be reached)"):
        spread_over(address, scanned(new_lake(4, CHEAP, built=False)))


def test_dask_that_is_not_installed_is_named_with_its_extra(new_lake, monkeypatch):
    lake = scanned(new_lake(4, CHEAP, built=False))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependency, match="imrec\\[dask\\]"):
        spread_over("tcp://127.0.0.1:1", lake)


def test_cluster_without_workers_is_waited_for_not_for_ever(new_lake, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(dask_cluster, "_NO_WORKER_TIMEOUT", 0.5)
    monkeypatch.setattr(dask_cluster, "_POLL_INTERVAL", 0.1)
    lake = scanned(new_lake(4, CHEAP, built=False))
    with cluster(tmp_path / "cluster", 0) as address, pytest.raises(ClusterError, match="has had no worker for"):
        spread_over(address, lake)
    assert "waiting for one" in caplog.text


# -- order ----------------------------------------------------------------------------------------------------


def test_shards_that_lose_images_are_extracted_after_those_that_take_them(new_lake):
    lake = new_lake(16, CHEAP, shard_size=4)
    photos = lake.root.parent / "photos"
    (photos / "photo_000.jpg").rename(photos / "zzz.jpg")  # a shard of its own, which takes what the first loses
    manifests.update(lake)
    shards = lake.live_shards()
    assert shard_order.shard_batches(lake, shards) == [shards[1:], shards[:1]]
    assert shard_order.order_shards(lake, shards) == [*shards[1:], shards[0]]


@pytest.mark.parametrize(
    ("shards", "workers", "sizes"), [(2, 2, [1, 1]), (9, 1, [2, 2, 2, 2, 1]), (1000, 2, [10] * 100)]
)
def test_tasks_are_small_enough_for_all_workers_to_have_some(shards, workers, sizes):
    assert list(map(len, dask_cluster._split([str(n) for n in range(shards)], workers))) == sizes


# -- an object store ------------------------------------------------------------------------------------------


def test_lake_and_photos_in_an_object_store_need_no_shared_disk(store, tmp_path):
    from tests.support import s3

    toy.write_photos(tmp_path / "photos", range(16))
    s3.put_folder(tmp_path / "photos", "photos")
    lake = toy.new_lake(s3.path("lake"), CHEAP, sources={"photos": s3.path("photos")}, shard_size=4)
    manifests.update(lake)
    with cluster(tmp_path / "cluster") as address:
        reports = spread_over(address, lake)
        assert sum(report.decoded for report in reports) == 16
        with distributed.Client(address, set_as_default=False) as client:
            done = list(client.run(pieces_done).values())
            assert sum(done) == 4 and all(done)
    assert {report.decoded for report in toy.extract(lake)} == {0}
