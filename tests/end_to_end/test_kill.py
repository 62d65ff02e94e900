"""A build that dies in the middle: what was finished stays, what was not is made, and nothing is left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy
from dagster import DagsterExecutionInterruptedError, DagsterRunStatus

import imrec_core
from imrec_core import Lake
from imrec_core.lake.storage import files
from imrec_dagster.asset_keys import IMAGES, feature_key
from imrec_dagster.builder import open_instance
from imrec_dagster.cli.failures import run_retry
from tests.support import toy
from tests.support.running import interruptible_children

ROOT = Path(imrec_core.__file__).parent.parent
FEATURES = ("rgb_histogram", "hsv_histogram", "phash")
PHOTOS, SHARD_SIZE = 160, 8
NOBODY = 2**22 + 1  # a process id that Linux never gives
TABLES = ("images", "features")
SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "photos"
    toy.write_photos(folder, range(PHOTOS))
    return folder


def lake_of(photos: Path, root: Path) -> Lake:
    return toy.new_lake(root, FEATURES, sources={"photos": photos}, shard_size=SHARD_SIZE)


@contextmanager
def building(lake: Lake) -> Iterator[subprocess.Popen[str]]:
    """`imrec build` as a process of its own, with Ctrl-C as in a terminal; it does not outlive the block."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "IMREC_LAKE")}
    with interruptible_children():
        process = subprocess.Popen(
            [sys.executable, "-m", "imrec_dagster.cli", "build", "--lake", str(lake.root)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # Dagster's `tail` of what a step prints may be there still
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finished(lake: Lake) -> set[str]:
    return {path.stem for path in (lake.root / "images").glob("photos-*.parquet")}


def strike_in_the_middle(lake: Lake, blow: signal.Signals) -> tuple[int, str, str]:
    """Send a signal to a build once its first shard is there; returns its exit status and output.

    It stands still while it is looked at: between the look and the blow it cannot come to its end, on a machine that is
    busy with other things either.
    """
    with building(lake) as process:
        deadline = time.monotonic() + 120
        while not (scanned(lake) and finished_when_stopped(lake, process)):
            process.send_signal(signal.SIGCONT)
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no shard after two minutes"
            time.sleep(0.01)
        process.send_signal(blow)
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=120)
    assert 0 < len(finished(lake)) < PHOTOS // SHARD_SIZE, "it was not in the middle"
    return process.returncode, out, err


def scanned(lake: Lake) -> bool:
    return len(list((lake.root / "catalog").glob("photos-*.parquet"))) == PHOTOS // SHARD_SIZE


def finished_when_stopped(lake: Lake, process: subprocess.Popen[str]) -> set[str]:
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)  # a signal is not there at once
    return finished(lake)


def build(lake: Lake) -> str:
    with building(lake) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def contents(lake: Lake) -> dict[str, tuple[pa.Table, object]]:
    """Every table with its metadata, and the bytes of every matrix of the generation."""
    tables = toy.tables_of(lake, "catalog", *TABLES, "generations")
    matrices = {path.name: path.read_bytes() for path in (lake.root / "generations").rglob("*.npy")}
    return {name: (table, table.schema.metadata) for name, table in tables.items()} | matrices


def leftovers(lake: Lake) -> list[Path]:
    return [path for path in lake.root.rglob("*") if "writing" in path.name or path.suffix == ".tmp"]


@pytest.fixture(scope="module")
def undisturbed(photos, tmp_path_factory) -> Lake:
    """The same by a plain loop over the core, in this process."""
    lake = lake_of(photos, tmp_path_factory.mktemp("undisturbed") / "lake")
    toy.build(lake)
    assert len(finished(lake)) == PHOTOS // SHARD_SIZE
    return lake


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_struck_build_goes_on_from_what_was_finished(photos, undisturbed, tmp_path, blow):
    lake = lake_of(photos, tmp_path / "lake")
    status, out, err = strike_in_the_middle(lake, blow)
    if blow == signal.SIGINT:
        assert (status, out) == (1, "")
        assert err.strip().splitlines()[-1].startswith("imrec: interrupted; completed work is kept")
        assert "Traceback" not in err
        assert leftovers(lake) == []
    else:
        assert status == -signal.SIGKILL
    done = finished(lake)
    before = {name: when for name, when in toy.times(lake, *TABLES).items() if Path(name).stem in done}
    assert lake.current_generation() is None
    half = f".writing-{NOBODY}-{files.THIS_MACHINE}-0-photos-0003.parquet"  # of a process long gone
    (lake.root / "images" / half).write_bytes(b"half")
    assert f"generation 000001: {PHOTOS} images" in build(lake)
    assert before.items() <= toy.times(lake, *TABLES).items()
    assert leftovers(lake) == []
    assert contents(lake) == contents(undisturbed)
    with open_instance(lake.dagster_home) as instance:  # which saw only the end of the first run, if that
        assert {run.status for run in instance.get_runs()} <= {SUCCESS, FAILURE, CANCELED}
        for key in (IMAGES, *map(feature_key, FEATURES)):
            assert len(instance.get_materialized_partitions(key)) == PHOTOS // SHARD_SIZE


@pytest.mark.parametrize("pool", [sqlalchemy.NullPool, sqlalchemy.QueuePool])
def test_ctrl_c_while_a_connection_is_closed_says_nothing_of_it(pool, tmp_path, monkeypatch, caplog):
    lake = lake_of(tmp_path / "photos", tmp_path / "lake")

    def interrupt(raised):
        engine = sqlalchemy.create_engine("sqlite://", poolclass=pool)
        connection = engine.raw_connection()
        monkeypatch.setattr(engine.dialect, "do_terminate", lambda _: raise_it(raised))
        monkeypatch.setattr(engine.dialect, "do_close", lambda _: raise_it(raised))
        connection.invalidate()

    monkeypatch.setattr(
        "imrec_dagster.builder.retry_failed", lambda *_, **__: interrupt(DagsterExecutionInterruptedError())
    )
    lake.open_for_writing()
    with pytest.raises(KeyboardInterrupt):
        run_retry(lake)
    assert caplog.messages == []
    monkeypatch.setattr("imrec_dagster.builder.retry_failed", lambda *_, **__: interrupt(OSError("disk")))
    run_retry(lake)
    assert "connection" in caplog.text and "disk" in caplog.text, "other faults are still logged"


def raise_it(error: BaseException) -> None:
    raise error
