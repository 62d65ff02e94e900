"""One pass over a shard: decode images, compute features, write tables.

Threads decode and compute all features that need no encoder. The calling thread runs the encoders.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import BadSettings, BadSource, MissingPlugin
from imrec_core.extraction.content_cache import ContentIndex, ContentMatches
from imrec_core.extraction.failures import failure_reason
from imrec_core.extraction.incremental import UnchangedRows
from imrec_core.extraction.planning import encoders_of, new_table_metadata
from imrec_core.extraction.read_ahead import Decoder, ReadBatch, Row, Seconds, read_ahead
from imrec_core.extraction.report import STAGES, OnImages, ShardReport
from imrec_core.extraction.shard_tables import Computed, Manifest, ShardTables
from imrec_core.features import Feature, decoded_side
from imrec_core.features.feature import Arrays
from imrec_core.images import properties
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import DecodedImage
from imrec_core.images.thumbnails import encode_jpeg, scale_to_fit
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.settings import Settings, Source
from imrec_core.lake.storage import files
from imrec_core.models.encoders import Encoder

_BATCH = 16  # images that encoders take together; more if one has larger batches
_READ_BATCH = 32  # images that a thread decodes together; with 512 a shard would keep eight threads busy at most
_BATCH_BYTES = 32_000_000  # of pixels; above this a thread computes features before it decodes more
_THUMBNAILS, _THUMBNAIL_SIDE = 8, 96


@dataclass
class _Batch:
    """Some images in progress, or all finished images of a shard.

    Attributes:
        rows: Rows of the images table.
        computed: Number of images with all features that need no encoder.
        vectors: Vectors of the images that are ok, in parts, by feature.
        inputs: Inputs of the encoders, in parts, by feature.
    """

    rows: list[Row] = field(default_factory=list)
    computed: int = 0
    vectors: defaultdict[str, list[Computed]] = field(default_factory=lambda: defaultdict(list))
    inputs: defaultdict[str, list[NDArray[np.uint8]]] = field(default_factory=lambda: defaultdict(list))
    thumbnails: list[bytes] = field(default_factory=list)
    seconds: Seconds = field(default_factory=lambda: defaultdict(float))
    feature_seconds: Seconds = field(default_factory=lambda: defaultdict(float))

    def add(self, other: _Batch) -> None:
        """Append another batch, with thumbnails up to the maximum."""
        self.rows += other.rows
        self.computed += other.computed
        self.thumbnails += other.thumbnails[: _THUMBNAILS - len(self.thumbnails)]
        for stage, spent in other.seconds.items():
            self.seconds[stage] += spent
        for name, spent in other.feature_seconds.items():
            self.feature_seconds[name] += spent
        for name, parts in other.vectors.items():
            self.vectors[name] += parts
        for name, inputs in other.inputs.items():
            self.inputs[name] += inputs


class FeatureComputer:
    """Computes features of decoded images; `compute` runs in any thread, `encode` in one.

    Args:
        encoders: Encoders of the embeddings, by feature.
        fitted: Fitted arrays of the features with a fit, by feature.

    Attributes:
        batch_size: Number of images to encode together.
        read_size: Number of images that a thread decodes and computes together: a part of `batch_size`, so that large
            batches of a CUDA device neither leave threads without work nor hold more images in memory per thread.
    """

    def __init__(
        self, features: Sequence[Feature], encoders: Mapping[str, Encoder], fitted: Mapping[str, Arrays]
    ) -> None:
        self._features, self._encoders, self._fitted = features, encoders, fitted
        self.batch_size = max(_BATCH, *(encoder.batch for encoder in encoders.values()), 0)
        self.read_size = self.batch_size // -(-self.batch_size // _READ_BATCH)

    def compute(self, images: list[DecodedImage], batch: _Batch) -> None:
        """Add properties, features that need no encoder, and inputs of the encoders to a batch."""
        if not images:
            return
        started = time.perf_counter()
        pixels = ImageBatch([image.pixels for image in images])
        rows = [row for row in batch.rows if row["status"] == "ok"][batch.computed :]
        for name, values in properties.image_properties(pixels).items():
            for row, value in zip(rows, values.tolist(), strict=True):
                row[name] = value
        for feature in self._features:
            feature_started = time.perf_counter()
            if feature.model:
                batch.inputs[feature.name].append(pixels.prepared(feature.model.preprocess))
            else:
                batch.vectors[feature.name].append(feature.extract(pixels, self._fitted.get(feature.name)))
            batch.feature_seconds[feature.name] += time.perf_counter() - feature_started
        batch.computed += len(images)
        batch.seconds["describe"] += time.perf_counter() - started

    def encode(self, batches: Iterable[_Batch]) -> Iterator[_Batch]:
        """Yield the images with the vectors of the encoders, in batches of up to `batch_size`.

        The next batch is submitted before one is awaited.
        """
        submitted: deque[tuple[_Batch, Callable[[], None]]] = deque()
        for batch in _gathered(batches, self.batch_size // self.read_size):
            submitted.append((batch, self._submit(batch)))
            if len(submitted) == 2:
                yield _await(*submitted.popleft())
        while submitted:
            yield _await(*submitted.popleft())

    def _submit(self, batch: _Batch) -> Callable[[], None]:
        """Start the encoders on a batch; return a function that waits for their vectors and adds them."""
        pending = []
        for feature in self._features:
            parts = batch.inputs.pop(feature.name, [])
            if parts:  # several if the images are large; the encoder takes them together
                pixels = np.concatenate(parts) if len(parts) > 1 else parts[0]
                pending.append((feature, len(pixels), self._encoders[feature.name].submit(pixels)))

        def collect() -> None:
            started = time.perf_counter()
            for feature, count, vectors in pending:
                waiting = time.perf_counter()
                batch.vectors[feature.name].append((feature.checked(vectors(), count), {}))
                batch.feature_seconds[feature.name] += time.perf_counter() - waiting
            batch.seconds["encode"] += time.perf_counter() - started

        return collect


def _gathered(batches: Iterable[_Batch], count: int) -> Iterator[_Batch]:
    """Join every `count` successive batches to one."""
    remaining = iter(batches)
    for batch in remaining:
        for other in islice(remaining, count - 1):
            batch.add(other)
        yield batch


def _await(batch: _Batch, collect: Callable[[], None]) -> _Batch:
    collect()
    return batch


def _decode_and_compute(decoder: Decoder, computer: FeatureComputer, reads: ReadBatch) -> _Batch:
    """Decode images and compute all that needs no encoder; runs in a thread."""
    batch = _Batch()
    pending: list[DecodedImage] = []
    for place, read in zip(reads.places, reads.reads, strict=True):
        row, image = decoder.decode(place, read, batch.seconds)
        batch.rows.append(row)
        if image is not None:
            pending.append(image)
            del image  # else it would stay in memory while the next one is decoded
            if sum(p.pixels.nbytes for p in pending) > _BATCH_BYTES:
                computer.compute(pending, batch)
                pending = []
    computer.compute(pending, batch)
    if pending and reads.number < _THUMBNAILS:  # one from each of the first batches
        batch.thumbnails = [encode_jpeg(scale_to_fit(pending[0].pixels, _THUMBNAIL_SIDE), quality=75)]
    return batch


@dataclass(frozen=True)
class ShardExtractor:
    """Extracts shards of one lake, one pass over one shard at a time.

    Attributes:
        known: Content whose features can be reused.
        on_images: Called after each batch.
        workers: Number of threads that read and decode; None for the default.
    """

    lake: Lake
    settings: Settings
    known: ContentIndex
    on_images: OnImages
    device: str = "auto"
    workers: int | None = None

    def extract(
        self, shard: str, features: Sequence[Feature], *, retry: bool = False, force: bool = False
    ) -> ShardReport:
        """Compute features of the new and changed images of a shard, and write its tables.

        Args:
            features: Features to compute, perhaps none; the images table is written in any case.
            retry: Whether to try failed images again, even if their files are unchanged.
            force: Whether to decode all images, also unchanged ones.

        Raises:
            BadSource: The folder of the shard's source is missing or empty, or the library that read
                images of the shard before is not installed now.
            BadSettings: The vectors of a model have another length than those in the lake.
        """
        lake, settings = self.lake, self.settings
        encoders = encoders_of(features, settings, self.device)
        for feature in features:
            _require_same_dims(lake, shard, feature)
        expected = {f.name: new_table_metadata(lake, shard, f, settings, self.device) for f in features}
        fitted = {f.name: lake.load_fitted(f.name, expected[f.name]["fitted"]) for f in features if f.learnt}
        computer = FeatureComputer(features, encoders, fitted)
        min_side = decoded_side(lake, *features)
        source = require_source(settings.source(source_of(shard)))
        manifest = Manifest.read(lake, shard)
        unchanged = UnchangedRows(lake, shard, manifest.table, features, expected, settings, retry=retry, force=force)
        copies = ContentMatches(lake, self.known, features, expected)
        decoder = Decoder(settings.max_pixels, min_side, copies.add, settings.allow_truncated)
        started = time.perf_counter()
        places = [place for place in manifest.table.to_pylist() if place["image_id"] not in unchanged.rows]
        made = self._compute(source, places, decoder, computer, copies)
        _refuse_lost_formats(lake, shard, made.rows)
        return self._write(ShardTables(lake, manifest, features, expected, unchanged, copies), made, started)

    def _compute(
        self, source: Source, places: Sequence[Row], decoder: Decoder, computer: FeatureComputer, copies: ContentMatches
    ) -> _Batch:
        """Read images, and decode and compute all except copies; then those whose original has changed."""
        made = _Batch()
        work = partial(_decode_and_compute, decoder, computer)
        while places:
            ahead = read_ahead(source, places, work, batch_size=computer.read_size, workers=self.workers)
            with closing(ahead):  # after an error here no more files are read
                for batch in computer.encode(ahead):
                    made.add(batch)
                    failed = sum(row["status"] == "failed" for row in batch.rows)
                    self.on_images(len(batch.rows) - failed, failed)
            gone = set(copies.resolve())
            made.rows = [row for row in made.rows if row["image_id"] not in gone]
            places = [place for place in places if place["image_id"] in gone]
        return made

    def _write(self, out: ShardTables, made: _Batch, started: float) -> ShardReport:
        writing = time.perf_counter()
        rows = out.rows(made.rows)
        table_bytes = out.write(rows, made.rows, made.vectors, self.settings)
        made.seconds["write"] = time.perf_counter() - writing
        reasons = Counter(failure_reason(row["error"]) for row in rows if row["error"])
        return ShardReport(
            out.manifest.shard,
            len(rows) - reasons.total(),
            reasons.total(),
            sum(bool(row["content_hash"]) and row["image_id"] not in out.copies for row in made.rows),
            tuple(feature.name for feature in out.features),
            time.perf_counter() - started,
            {stage: round(made.seconds[stage], 3) for stage in STAGES},
            table_bytes,
            dict(reasons),
            tuple(made.thumbnails),
            {name: round(spent, 3) for name, spent in made.feature_seconds.items()},
        )


def require_source(source: Source) -> Source:
    """Return a source that is not away; otherwise every image would fail and lose its vectors.

    Raises:
        BadSource: The folder is missing or empty.
    """
    if files.is_away(source.root):
        raise BadSource(f"source {source.name!r}: {source.root} is missing or empty; is a disk not mounted?")
    return source


def _refuse_lost_formats(lake: Lake, shard: str, rows: Iterable[Row]) -> None:
    """Check that no image fails only because the library that read it before is no longer installed.

    It would be removed, although nothing is wrong with the file.

    Raises:
        BadSource: There is such an image.
    """
    failed = {row["image_id"]: row for row in rows if failure_reason(row["error"] or "") == MissingPlugin.__name__}
    if not failed or not files.exists(lake.images_path(shard)):
        return
    known = lake.read_table(lake.images_path(shard), ["image_id", "content_hash", "status"]).to_pylist()
    lost = [
        row["image_id"]
        for row in known
        if row["status"] == "ok" and failed.get(row["image_id"], {}).get("content_hash") == row["content_hash"]
    ]
    if lost:
        error = failed[lost[0]]["error"].partition(": ")[2]
        raise BadSource(f"{len(lost)} images of {shard} were read before, and cannot be now: {error}")


def _require_same_dims(lake: Lake, shard: str, feature: Feature) -> None:
    """Check that the vectors of an embedding have the length of those in the lake.

    Raises:
        BadSettings: They have another length.
    """
    old = lake.made_from(lake.feature_path(feature.name, shard)) or {}
    is_same = old.get("feature_version") == str(feature.version)
    if feature.model and is_same and old.get("dims", str(feature.dims)) != str(feature.dims):
        raise BadSettings(
            f"{feature.name} has {old['dims']} numbers per image in this lake, and {feature.dims} as declared now; "
            f"give the changed model another name, or delete {lake.layout.feature_folder(feature.name)}"
        )
