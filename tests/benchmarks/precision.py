"""What speed costs in quality, and how good each feature is, on photos whose folder is their class."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from imrec_core.evaluation import measures
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode
from imrec_core.models.encoders import load_encoder
from imrec_core.models.registry import find_model
from imrec_core.models.torch_module import torch_module
from imrec_core.search.query import ImageId
from imrec_core.search.recommender import Recommender
from tests.benchmarks import baseline
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed

Vectors = NDArray[np.float32]
Labels = NDArray[np.str_]

_K = 5
_NETWORK = "efficientnet_lite0"
_WANTED = {f"{_NETWORK}:cosine": 0.83, "hsv_histogram:hellinger": 0.45}


def measure(work: Testbed) -> list[Row]:
    """The encoder against eager fp32, then leave-one-out precision of every feature with each of its metrics."""
    rec = Recommender.open(work.built_lake("lake-precision", work.photos))
    paths = [Path(path) for path in rec.generation.rows["path"].to_pylist()]
    # Demo photos lie in no folder; the copies of one share what stands before `__`.
    labels = np.array([path.parent.name or path.stem.partition("__")[0] for path in paths])
    ways = [f"{name}:{m.name}" for name in rec.generation.features for m in rec.generation.feature(name).metrics]
    return [
        Row("photos", len(labels), "", f"{len(set(labels))} classes"),
        *_encoders([work.photos / path for path in paths], labels),
        *(Row(f"{by} P@{_K}", _searched(rec, by, labels), at_least=_WANTED.get(by)) for by in ways),
    ]


def _encoders(files: list[Path], labels: Labels) -> list[Row]:
    """Every path against eager fp32 over the same pixels, then against what torchvision makes of the files."""
    model = find_model(_NETWORK)
    batches = [ImageBatch([decode(file.read_bytes(), min_side=256).pixels]) for file in files]
    pixels = np.concatenate([batch.prepared(model.preprocess) for batch in batches])
    eager = torch_module(model)
    with torch.inference_mode():
        true = np.concatenate([eager(part).numpy() for part in torch.from_numpy(pixels).split(16)])
    rows = [Row("eager fp32 P@5", _precision(true, labels))]
    for asked, least in (("fp32", 0.9999), ("bf16", 0)):
        encoder = load_encoder(model, precision=asked, device="cpu")
        rows += _compared(f"{encoder.backend} {encoder.precision}", encoder(pixels), true, labels, 0.999, least)
    alone = np.stack([baseline.embed(Image.open(file).convert("RGB")) for file in files])
    return [*rows, *_compared("one at a time", alone, true, labels, 0, 0)]


def _compared(name: str, vectors: Vectors, true: Vectors, labels: Labels, mean: float, least: float) -> list[Row]:
    cosines = (vectors * true).sum(axis=1)
    own = cosines >= (vectors @ true.T).max(axis=1) - 1e-6  # the same picture twice is as near
    return [
        Row(f"{name}, mean cosine", float(cosines.mean()), at_least=mean or None),
        Row(f"{name}, least cosine", float(cosines.min()), at_least=least or None),
        Row(f"{name}, nearest is itself", float(own.mean()), at_least=1.0 if mean else None),
        Row(f"{name} P@5", _precision(vectors, labels)),
    ]


def _precision(vectors: Vectors, labels: Labels) -> float:
    """Share of the nearest by cosine, itself left out, that are of the same class."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1)[:, :_K]
    return float(np.mean([measures.precision_at_k(found, _K) for found in labels[nearest] == labels[:, None]]))


def _searched(rec: Recommender, by: str, labels: Labels) -> float:
    label_of = dict(zip(rec.generation.rows["image_id"].to_pylist(), labels))
    found = [(label, rec.search(ImageId(i), k=_K, by=by)) for i, label in label_of.items()]
    relevant = (np.array([label_of[hit.image_id] == label for hit in hits]) for label, hits in found)
    return float(np.mean([measures.precision_at_k(of_query, _K) for of_query in relevant]))
