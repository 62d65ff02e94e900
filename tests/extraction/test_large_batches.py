"""Encoders that take many images at once, as those of CUDA devices do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from imrec_core import FEATURES, Lake
from imrec_core.catalog import manifests
from imrec_core.extraction import pipeline
from imrec_core.extraction.pipeline import FeatureComputer
from imrec_core.extraction.planning import new_table_metadata
from imrec_core.lake import schemas
from imrec_core.models import encoders, torch_device
from imrec_core.models.torch_encoder import TorchEncoder
from tests.support import networks, toy
from tests.support.fake_cuda import FakeCard

FEATURE = "efficientnet_lite0"


class Mean:
    """An encoder of mean colours that keeps the number of images it was given."""

    backend, precision = "torch-cuda", "fp32"

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.taken: list[int] = []

    def submit(self, pixels: np.ndarray) -> Callable[[], np.ndarray]:
        self.taken.append(len(pixels))
        vectors = np.ones((len(pixels), 1280), np.float32)
        vectors[:, :3] += pixels.mean(axis=(1, 2))
        return lambda: vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def vectors_of(lake: Lake, feature: str) -> np.ndarray:
    return np.concatenate([schemas.to_matrix(t["vector"]) for t in toy.tables_of(lake, f"features/{feature}").values()])


@pytest.mark.parametrize(
    ("batch", "read", "parts"),
    [(4, 16, 1), (16, 16, 1), (24, 24, 1), (32, 32, 1), (37, 18, 2), (100, 25, 4), (512, 32, 16), (1024, 32, 32)],
)
def test_threads_decode_equal_parts_of_a_large_batch(batch, read, parts):
    computer = FeatureComputer([], {"network": Mean(batch)}, {})
    assert (computer.read_size, computer.batch_size // computer.read_size) == (read, parts)
    assert computer.batch_size == max(batch, 16)


@pytest.mark.parametrize(("batch", "taken"), [(16, [15, *[16] * 5, 10]), (64, [63, 42]), (48, [47, 48, 10])], ids=str)
def test_large_batches_give_the_rows_and_vectors_of_small_ones(tmp_path, monkeypatch, batch, taken):
    toy.write_photos(tmp_path / "photos", range(106))
    (tmp_path / "photos" / "photo_003.jpg").write_bytes(b"no image")
    reads, of_images, lakes = [], [], {}
    read_ahead = pipeline.read_ahead

    def noted(*args: object, batch_size: int, **options: object) -> object:
        reads.append(batch_size)
        return read_ahead(*args, batch_size=batch_size, **options)

    monkeypatch.setattr(pipeline, "read_ahead", noted)
    for name, encoder in (("small", Mean(16)), ("large", Mean(batch))):
        monkeypatch.setattr(encoders, "load_encoder", lambda *_, encoder=encoder, **__: encoder)
        lake = lakes[name] = toy.new_lake(tmp_path / name, [FEATURE, "phash"], shard_size=200)
        manifests.update(lake)
        toy.extract(lake, on_images=lambda ok, failed: of_images.append((ok, failed)))
    assert encoder.taken == taken
    assert max(reads) <= 32
    assert np.sum(of_images, axis=0).tolist() == [2 * 105, 2 * 1]
    for feature in (FEATURE, "phash"):
        np.testing.assert_array_equal(vectors_of(lakes["large"], feature), vectors_of(lakes["small"], feature))
    small, large = (next(iter(toy.tables_of(lakes[name], "images").values())) for name in ("small", "large"))
    assert large.drop_columns(["mtime_ns"]).equals(small.drop_columns(["mtime_ns"]))


def test_extraction_on_two_devices_equals_that_on_the_cpu_and_nothing_is_stale_on_one(tmp_path, monkeypatch):
    model = networks.torchvision_model(tmp_path)
    networks.declare(monkeypatch, model)
    toy.write_photos(tmp_path / "photos", range(40))
    lakes, metadata = {}, {}
    monkeypatch.setattr(torch_device, "open_devices", lambda names: [FakeCard() for _ in names])
    with monkeypatch.context() as patch:
        patch.setattr(torch_device, "open_devices", lambda names: [torch_device.CpuDevice()])
        on_cpu = TorchEncoder(model, "cpu", "fp32", 8)
    for devices, encoder in {
        "cpu": on_cpu,
        "cuda:0": TorchEncoder(model, "cuda:0", "fp32", 8),
        "cuda:0,cuda:1": TorchEncoder(model, "cuda:0,cuda:1", "fp32", 16),
    }.items():
        monkeypatch.setattr(encoders, "load_encoder", lambda *_, encoder=encoder, **__: encoder)
        lake = lakes[devices] = toy.new_lake(tmp_path / devices.replace(":", ""), [model.name], shard_size=100)
        manifests.update(lake)
        toy.extract(lake)
        shard, feature = lake.live_shards()[0], FEATURES[model.name]
        metadata[devices] = new_table_metadata(lake, shard, feature, lake.settings(), devices)
        np.testing.assert_allclose(vectors_of(lake, model.name), vectors_of(lakes["cpu"], model.name), atol=1e-3)
    assert metadata["cuda:0"] == metadata["cuda:0,cuda:1"] != metadata["cpu"]
    assert metadata["cuda:0"]["backend"] == "torch-cuda"
