"""One shard of images → its tables: every new file is read once and decoded once, whatever was chosen.

Threads read, decode and describe small batches ahead of the network, a bounded number of them; the calling thread
feeds the network and collects. Tables are written when the whole shard is done, so a shard is there or it is not.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import time
import warnings
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from imrec_core import facts, objects, storage, tables
from imrec_core.content_cache import Copies, KnownContent
from imrec_core.decode import ImageBatch, Picture, decode
from imrec_core.errors import (
    BadSettings,
    BadSource,
    DeclarationError,
    ImageError,
    ImageTooLarge,
    MissingTable,
    StorageFault,
)
from imrec_core.extract_report import STAGES, OnImages, ShardReport
from imrec_core.features import Feature, decoded_side
from imrec_core.features.declare import Columns
from imrec_core.freshness import (
    images_made_from,
    manifest_version,
    usable_fit,
)
from imrec_core.image_reader import read_image
from imrec_core.lake import Lake, source_of
from imrec_core.machine import cpu_count
from imrec_core.passes import encoders_of, expected_now, next_pass
from imrec_core.reuse import Unchanged, contents_of, in_order
from imrec_core.settings import Settings
from imrec_core.shard_order import takers_first

_BATCH = 16  # images that a thread describes together; more where a network takes more at a time
_BATCH_BYTES = 96_000_000  # of pixels, after which a batch is described before more is decoded
_PASSES = 4  # over a shard whose files come and go while they are read; then the next build goes on
_THUMBNAILS = 8


def default_workers() -> int:
    """Return the default number of threads that read and decode."""
    return cpu_count() + 1  # one more, for when one waits for the disk


def _keep_freed_memory() -> None:
    """Let glibc keep what was freed instead of returning it to the system, in this process.

    Each picture is a large block; giving it back and faulting it in anew, in several threads at once, cost 6 % of
    the whole extraction (2026-11). Other C libraries have no such setting, and need none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            mallopt(parameter, 1 << 28)


def extract_shards(
    lake: Lake,
    shards: Sequence[str],
    features: Sequence[Feature],
    *,
    on_images: OnImages = lambda ok, failed: None,
    device: str = "auto",
    retry: bool = False,
    workers: int | None = None,
) -> Iterator[ShardReport]:
    """Make the image table and the chosen features of each shard, where they are missing or stale.

    A shard whose tables are all up to date costs a look at their metadata, and its report names no features. In one
    that has changed only what is new is decoded; a file whose content is known from anywhere in the lake is read, and
    takes what is known. Shards that lose images come last, so that a renamed one is known while it is looked for.

    Args:
        on_images: Told how many images were read; `passes.reads_ahead` says how many there will be.
        device: Of the networks.
        retry: Try files again that failed and are as they were; shards without any stay as they are.
        workers: Threads that read and decode; None for `default_workers()`.

    Raises:
        MissingTable: A shard has no manifest, or a feature is not fitted yet.
        BadSource: The folder of a shard's source is missing or empty.
        DeclarationError: A derived feature is among the features; see `project.project_shard`.
        StorageFull: The disk took no more. The shards reported so far are kept.
    """
    _keep_freed_memory()
    settings = lake.settings()
    for feature in features:
        if feature.projection:
            raise DeclarationError(f"{feature.name} is not extracted from pictures; use project_shard")
        if feature.learnt and usable_fit(lake, feature) is None:
            raise MissingTable(f"{feature.name} is not fitted yet; run: imrec build")
    known: KnownContent | None = None
    for shard in takers_first(lake, shards):
        report: ShardReport | None = None
        for _ in range(_PASSES):
            again = retry and report is None
            if next_pass(lake, shard, features, settings, device, retry=again) is None:
                break
            with lake.alone(f"extract-{shard}"), threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of odd files; the images table has the verdict
                work = next_pass(lake, shard, features, settings, device, retry=again)  # somebody may just have done it
                if work is None:
                    break
                known = known or KnownContent(lake)
                now = _Extraction(lake, shard, work, settings, on_images, device, known, again, workers).run()
            known.renew(shard)
            report = now if report is None else report.followed_by(now)
        yield report or _as_it_is(lake, shard)


def _as_it_is(lake: Lake, shard: str) -> ShardReport:
    path = lake.images_path(shard)
    status = lake.read_table(path, ["status"])["status"].to_pylist() if storage.exists(path) else []
    return ShardReport(shard, status.count("ok"), status.count("failed"))


_Described = tuple[NDArray[Any], Columns]
"""Vectors `(n, width)` and the columns beside them."""


@dataclass
class _Batch:
    """A few images on their way through: their rows in the images table, and the vectors of those that are ok."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    ok: int = 0
    vectors: dict[str, list[_Described]] = field(default_factory=dict)
    inputs: dict[str, list[NDArray[np.uint8]]] = field(default_factory=dict)
    thumbnails: list[bytes] = field(default_factory=list)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


class _Extraction:
    """The state of one shard's extraction."""

    def __init__(
        self,
        lake: Lake,
        shard: str,
        features: list[Feature],
        settings: Settings,
        on_images: OnImages,
        device: str,
        known: KnownContent,
        retry: bool,
        workers: int | None = None,
    ) -> None:
        self._lake, self._shard, self._settings, self._on_images = lake, shard, settings, on_images
        self._workers = default_workers() if workers is None else workers
        self._features = features
        self._encoders = encoders_of(features, settings, device)
        self._batch = max(_BATCH, *(encoder.batch for encoder in self._encoders.values()), 0)
        for feature in features:
            _refuse_other_dims(lake, shard, feature)
        self._expected = {f.name: expected_now(lake, shard, f, settings, device) for f in features}
        self._fitted = {
            f.name: lake.load_fitted(f.name, self._expected[f.name]["fitted"]) for f in features if f.learnt
        }
        self._min_side = decoded_side(lake, *features)
        self._source = settings.source(source_of(shard))
        if storage.is_away(self._source.root):  # else every image would be failed, and lose its vectors
            raise BadSource(f"source {self._source.name!r}: {self._source.root} is missing or empty; is a disk away?")
        self._shard_version = manifest_version(lake, shard)  # first: a scan in between then makes us stale
        manifest = lake.read_table(lake.catalog_path(shard))
        self._unchanged = Unchanged(lake, shard, manifest, features, self._expected, settings, retry=retry)
        self._places = manifest.to_pylist()
        self._copies = Copies(lake, known, features, self._expected)
        self._requests: ThreadPoolExecutor | None = None
        self._started = time.perf_counter()

    def run(self) -> ShardReport:
        """Extract, write, report."""
        made: list[dict[str, Any]] = []
        vectors: dict[str, list[_Described]] = {f.name: [] for f in self._features}
        thumbnails: list[bytes] = []
        seconds: defaultdict[str, float] = defaultdict(float)
        places = [place for place in self._places if place["image_id"] not in self._unchanged.rows]
        while places:
            for batch in self._batches(places):
                made += batch.rows
                thumbnails += batch.thumbnails[: _THUMBNAILS - len(thumbnails)]
                for stage, spent in batch.seconds.items():
                    seconds[stage] += spent
                for name, parts in batch.vectors.items():
                    vectors[name] += parts
                failed = sum(row["status"] == "failed" for row in batch.rows)
                self._on_images(len(batch.rows) - failed, failed)
            gone = set(self._copies.settle())
            made = [row for row in made if row["image_id"] not in gone]
            places = [place for place in places if place["image_id"] in gone]
        started = time.perf_counter()
        rows = self._rows(made)
        described = [row["image_id"] for row in made if row["status"] == "ok" and row["image_id"] not in self._copies]
        table_bytes = self._write(rows, described, vectors)
        seconds["write"] = time.perf_counter() - started
        reasons = Counter(row["error"].partition(":")[0] for row in rows if row["error"])
        return ShardReport(
            self._shard,
            len(rows) - reasons.total(),
            reasons.total(),
            sum(bool(row["content_hash"]) and row["image_id"] not in self._copies for row in made),
            tuple(f.name for f in self._features),
            time.perf_counter() - self._started,
            {stage: round(seconds[stage], 3) for stage in STAGES},
            table_bytes,
            dict(reasons),
            tuple(thumbnails),
        )

    def _batches(self, places: Sequence[dict[str, Any]]) -> Iterator[_Batch]:
        """Finished batches in the order of the places; at most `2 · workers` are under way."""
        waiting: deque[Future[_Batch]] = deque()
        encoding: deque[tuple[_Batch, Callable[[], None]]] = deque()
        if storage.is_remote(self._source.root):
            self._requests = ThreadPoolExecutor(objects.CONNECTIONS, thread_name_prefix="imrec-read")
        with ThreadPoolExecutor(self._workers, thread_name_prefix="imrec-decode") as pool:
            try:
                for first in range(0, len(places), self._batch):
                    shown = first < _THUMBNAILS * self._batch  # one of each of the first batches
                    some = places[first : first + self._batch]
                    waiting.append(pool.submit(self._describe, some, self._reads(some), shown))
                    if len(waiting) == 2 * self._workers:
                        encoding.append(self._encode(waiting.popleft().result()))
                    if len(encoding) == 2:
                        yield _finished(*encoding.popleft())
                while waiting:
                    encoding.append(self._encode(waiting.popleft().result()))
                    yield _finished(*encoding.popleft())
            finally:  # an error or Ctrl-C starts nothing more
                if self._requests:
                    self._requests.shutdown(wait=False, cancel_futures=True)
                pool.shutdown(wait=True, cancel_futures=True)
        while encoding:
            yield _finished(*encoding.popleft())

    def _reads(self, places: Sequence[dict[str, Any]]) -> list[Callable[[], bytes]]:
        """What gives the bytes of each image; those of an object store are on their way from now on."""
        reads = [partial(read_image, self._source, place) for place in places]
        return [self._requests.submit(read).result for read in reads] if self._requests else list(reads)

    def _describe(self, places: Sequence[dict[str, Any]], reads: list[Callable[[], bytes]], shown: bool) -> _Batch:
        """Read and decode images and compute all that needs no network; runs in a thread."""
        batch = _Batch()
        pending: list[Picture] = []
        for place, read in zip(places, reads, strict=True):
            row, picture = self._read_and_decode(place, read, batch.seconds)
            batch.rows.append(row)
            if picture is not None:
                pending.append(picture)
                if sum(p.pixels.nbytes for p in pending) > _BATCH_BYTES:
                    self._describe_pixels(pending, batch)
                    pending = []
        self._describe_pixels(pending, batch)
        if shown and pending:
            batch.thumbnails = [_thumbnail(pending[0])]
        return batch

    def _read_and_decode(
        self, place: dict[str, Any], read: Callable[[], bytes], seconds: defaultdict[str, float]
    ) -> tuple[dict[str, Any], Picture | None]:
        """The row of the images table, and the picture unless it failed or its content is known."""
        row: dict[str, Any] = dict.fromkeys(tables.IMAGES.names)
        row |= {name: place[name] for name in ("image_id", "byte_size", "mtime_ns")}
        started = time.perf_counter()
        decoding = started
        try:
            data = read()
            row["content_hash"] = hashlib.blake2b(data, digest_size=16).hexdigest()
            decoding = time.perf_counter()
            if self._copies.has(place["image_id"], row["content_hash"]):
                return row, None
            picture = decode(data, max_pixels=self._settings.max_pixels, min_side=self._min_side)
        except ImageError as error:
            row |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}
            return row, None
        except StorageFault:  # says nothing of the image: it would be taken for broken
            raise
        except Exception as error:  # the one place: whatever one image does, the others go on
            row |= {"status": "failed", "error": f"UnreadableImage: {type(error).__name__}: {error}"}
            return row, None
        finally:
            ended = time.perf_counter()
            seconds["read"] += decoding - started
            seconds["decode"] += ended - decoding
        row |= {
            "format": picture.format,
            "width": picture.width,
            "height": picture.height,
            "orientation": picture.orientation,
            "aspect": picture.width / picture.height,
            "has_alpha": picture.has_alpha,
            "camera": picture.shot.camera,
            "taken": picture.shot.taken,
            "status": "ok",
        }
        return row, picture

    def _describe_pixels(self, pictures: list[Picture], batch: _Batch) -> None:
        if not pictures:
            return
        started = time.perf_counter()
        images = ImageBatch([picture.pixels for picture in pictures])
        rows = [row for row in batch.rows if row["status"] == "ok"][batch.ok :]
        for name, values in facts.measure(images).items():
            for row, value in zip(rows, values.tolist(), strict=True):
                row[name] = value
        for feature in self._features:
            if feature.model:
                batch.inputs.setdefault(feature.name, []).append(images.prepared(feature.model.preprocess))
            else:
                described = feature.described(images, self._fitted.get(feature.name))
                batch.vectors.setdefault(feature.name, []).append(described)
        batch.ok += len(pictures)
        batch.seconds["describe"] += time.perf_counter() - started

    def _encode(self, batch: _Batch) -> tuple[_Batch, Callable[[], None]]:
        """Start the networks on a batch; the second value waits for them and stores their vectors."""
        pending = []
        for feature in self._features:
            parts = batch.inputs.pop(feature.name, [])
            if parts:  # of large pictures several, which the network takes together all the same
                pixels = np.concatenate(parts) if len(parts) > 1 else parts[0]
                pending.append((feature, len(pixels), self._encoders[feature.name].submit(pixels)))

        def collect() -> None:
            started = time.perf_counter()
            for feature, count, vectors in pending:
                batch.vectors.setdefault(feature.name, []).append((feature.checked(vectors(), count), {}))
            batch.seconds["encode"] += time.perf_counter() - started

        return batch, collect

    def _rows(self, made: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All rows of the images table, in the order of the manifest."""
        rows = self._unchanged.rows | {row["image_id"]: row for row in made}
        rows |= self._copies.rows(rows)
        return [rows[place["image_id"]] for place in self._places]

    def _table(self, feature: Feature, ids: pa.Array, described: list[str], parts: Sequence[_Described]) -> pa.Table:
        """The table of a feature: of images that were described now, of those as they were, and of copies."""
        new = _table(feature, pa.array(described, pa.string()), parts)
        return in_order([new, self._unchanged.vectors(feature), *self._copies.vectors(feature, new)], ids)

    def _write(
        self, rows: list[dict[str, Any]], described: list[str], vectors: dict[str, list[_Described]]
    ) -> dict[str, int]:
        """Write the tables; the images table last, so that it never vouches for features that are not there."""
        ids = pa.array([row["image_id"] for row in rows if row["status"] == "ok"], pa.string())
        digest = hashlib.blake2b("".join(ids.to_pylist()).encode(), digest_size=8).hexdigest()
        which = {"rows": digest, "contents": contents_of(rows)}
        written: dict[str, int] = {}
        for feature in self._features:
            made_from = self._expected[feature.name] | images_made_from(self._shard, self._shard_version)
            made_from |= which
            path = self._lake.feature_path(feature.name, self._shard)
            table = self._table(feature, ids, described, vectors[feature.name])
            written[feature.name] = self._lake.write_table(path, table, made_from)
        images = pa.Table.from_pylist(rows, schema=tables.IMAGES)
        made_from = images_made_from(self._shard, self._shard_version) | which
        if any(str(row["error"]).startswith(ImageTooLarge.__name__) for row in rows):
            made_from["refused_above"] = str(self._settings.max_pixels)
        written["images"] = self._lake.write_table(self._lake.images_path(self._shard), images, made_from)
        return written


def _refuse_other_dims(lake: Lake, shard: str, feature: Feature) -> None:
    """Refuse a network whose vectors have another length than those that the lake holds under its name.

    Raises:
        BadSettings: It has.
    """
    old = lake.made_from(lake.feature_path(feature.name, shard)) or {}
    is_same = old.get("feature_version") == str(feature.version)
    if feature.model and is_same and old.get("dims", str(feature.dims)) != str(feature.dims):
        raise BadSettings(
            f"{feature.name} has {old['dims']} numbers per image in this lake, and {feature.dims} as declared now; "
            f"give the changed network another name, or delete {lake.layout.feature_folder(feature.name)}"
        )


def _table(feature: Feature, ids: pa.Array, parts: Sequence[_Described]) -> pa.Table:
    """The table of a feature from what was described, batch by batch."""
    matrix = np.concatenate([np.empty((0, feature.width), feature.dtype), *(vectors for vectors, _ in parts)])
    beside = [
        pa.array(np.concatenate([np.empty(0, kind), *(columns[name] for _, columns in parts)]))
        for name, kind in feature.columns.items()
    ]
    return pa.table([ids, tables.to_vectors(matrix), *beside], schema=feature.schema)


def _finished(batch: _Batch, collect: Callable[[], None]) -> _Batch:
    collect()
    return batch


def _thumbnail(picture: Picture, side: int = 96) -> bytes:
    """A JPEG file of the picture, its longer side so many pixels."""
    small = Image.fromarray(picture.pixels[..., :3].copy())
    small.thumbnail((side, side))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=75)
    return out.getvalue()
