"""What speed costs in quality, and how good each feature is, on photos whose folder is their class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from imrec_core.decode import ImageBatch, decode
from imrec_core.encoders import load_encoder, torch_module
from imrec_core.features import find_feature
from imrec_core.search import ImageId, Recommender
from tests.benchmarks import baseline
from tests.benchmarks.rows import Row
from tests.benchmarks.workplace import Workplace

Matrix = NDArray[np.float32]

_K = 5
_NETWORK = "efficientnet_lite0"
_WANTED = {f"{_NETWORK} cosine": 0.83, "hsv_histogram hellinger": 0.45}


def measure(work: Workplace) -> list[Row]:
    """Encoders against eager fp32, then precision@5 of every feature with each of its metrics."""
    rec = Recommender.open(work.labelled_lake)
    paths = rec.generation.rows["path"].to_pylist()
    labels = np.array([label_of(Path(path)) for path in paths])
    rows = [Row("photos", len(labels), note=f"{len(Counter(labels.tolist()))} classes")]
    files = [work.photos / path for path in paths]
    rows += _encoders(files, labels)
    for name in rec.generation.features:
        for metric in find_feature(name).metrics:
            by = f"{name} {metric.name}"
            rows.append(
                Row(f"precision@{_K}, {by}", _by_search(rec, f"{name}:{metric.name}", labels), at_least=_WANTED.get(by))
            )
    return rows


def label_of(path: Path) -> str:
    """The folder's name; of a photo in no folder the name up to `__`, which copies of a demo photo share."""
    return path.parent.name or path.stem.partition("__")[0]


def _encoders(files: list[Path], labels: NDArray[np.str_]) -> list[Row]:
    feature = find_feature(_NETWORK)
    assert feature.model is not None
    pixels = np.concatenate([_prepared(file) for file in files])
    eager = torch_module(feature.model)
    with torch.inference_mode():
        true = np.concatenate(
            [eager(torch.from_numpy(part)).numpy() for part in np.array_split(pixels, len(pixels) // 16 + 1)]
        )
    rows = [Row("precision@5, eager fp32", precision(true, labels), note="same pixels for all three")]
    for asked in ("fp32", "bf16"):
        encoder = load_encoder(_NETWORK, precision=asked, device="cpu")
        name = f"{encoder.backend} {encoder.precision}"
        rows += _against(name, encoder(pixels), true, labels, least=0.9999 if asked == "fp32" else None)
    alone = np.stack([baseline.embed(Image.open(file).convert("RGB")) for file in files])
    return [*rows, *_against("torchvision way", alone, true, labels)]


def _prepared(file: Path) -> NDArray[np.uint8]:
    feature = find_feature(_NETWORK)
    assert feature.model is not None
    return ImageBatch([decode(file.read_bytes(), min_side=256).pixels]).prepared(feature.model.preprocess)


def _against(
    name: str, vectors: Matrix, true: Matrix, labels: NDArray[np.str_], *, least: float | None = None
) -> list[Row]:
    cosines = (vectors * true).sum(axis=1)
    itself = float(np.mean((vectors @ true.T).argmax(axis=1) == np.arange(len(true))))
    return [
        Row(f"{name}: mean cosine", float(cosines.mean()), at_least=0.999, note=f"least {cosines.min():.6f}"),
        Row(f"{name}: least cosine", float(cosines.min()), at_least=least),
        Row(f"{name}: nearest fp32 row is itself", itself, at_least=1.0),
        Row(f"{name}: precision@5", precision(vectors, labels)),
    ]


def precision(vectors: Matrix, labels: NDArray[np.str_]) -> float:
    """Share of the five nearest by cosine, itself left out, that are of the same class."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argpartition(-similarity, _K, axis=1)[:, :_K]
    return float(np.mean(labels[nearest] == labels[:, None]))


def _by_search(rec: Recommender, by: str, labels: NDArray[np.str_]) -> float:
    generation = rec.generation
    label_by_id = dict(zip(generation.rows["image_id"].to_pylist(), labels))
    shares = [
        np.mean([label_by_id[hit.image_id] == label for hit in rec.search(ImageId(image_id), k=_K, by=by)])
        for image_id, label in label_by_id.items()
    ]
    return float(np.mean(shares))
