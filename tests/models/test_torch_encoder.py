"""torch on CUDA devices, tested on the CPU by a stand-in that carries out all work as late as possible."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from imrec_core.errors import DeclarationError
from imrec_core.images.batch import ImageBatch
from imrec_core.models import encoders, torch_device
from imrec_core.models.torch_device import CpuDevice, open_devices
from imrec_core.models.torch_encoder import TorchEncoder, choose_batch
from tests.support import networks
from tests.support.fake_cuda import FakeCard, FakeCuda


def means(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float().mean(dim=(1, 2))


def numbered(count: int, first: int = 0) -> np.ndarray:
    """Pixels whose mean is the number of the image."""
    return np.arange(first, first + count, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 4, 4, 3), np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return networks.torchvision_model(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def pixels(model) -> np.ndarray:
    return ImageBatch(networks.photos(11)).prepared(model.preprocess)


@pytest.fixture
def devices(monkeypatch):
    """Function that sets the devices which encoders open."""

    def use(*devices: object) -> None:
        monkeypatch.setattr(torch_device, "open_devices", lambda names: list(devices))

    return use


# -- copies -------------------------------------------------------------------------------------------------


def test_results_of_many_passes_in_flight_are_those_of_their_own_inputs():
    card = FakeCard()
    pending = [card.run(means, numbered(3, first)) for first in range(0, 30, 3)]
    for first, collect in reversed(list(zip(range(0, 30, 3), pending))):
        np.testing.assert_array_equal(collect(), numbered(3, first).mean(axis=(1, 2)))


def test_pixels_may_change_once_they_are_submitted():
    card, given = FakeCard(), numbered(3, 5)
    collect = card.run(means, given)
    given[:] = 0
    np.testing.assert_array_equal(collect()[:, 0], [5, 6, 7])


def test_read_only_pixels_are_taken():
    given = numbered(2)
    given.setflags(write=False)
    np.testing.assert_array_equal(FakeCard().run(means, given)()[:, 0], [0, 1])


def test_starting_a_pass_waits_for_no_computation():
    card = FakeCard()
    for _ in range(2):
        card.run(means, numbered(3))
    assert card.cuda.compute.done == 0 < card.cuda.compute.given


def test_inputs_that_become_smaller_and_larger_share_the_buffers():
    card = FakeCard()
    pending = [card.run(means, numbered(count, count)) for count in (2, 5, 1, 7, 7, 3)]
    for count, collect in zip((2, 5, 1, 7, 7, 3), pending):
        np.testing.assert_array_equal(collect()[:, 0], np.arange(count, 2 * count))
    assert sorted(len(slot.host) for slot in card._slots) == [7, 7]


def test_pass_that_did_not_fit_leaves_the_buffers_usable():
    card = FakeCard(FakeCuda(free=5))
    before = [card.run(means, numbered(3, first)) for first in (0, 3)]
    for _ in range(3):
        with pytest.raises(torch.OutOfMemoryError):
            card.run(means, numbered(6, 50))
    after = [card.run(means, numbered(3, first)) for first in (6, 9)]
    found = np.concatenate([collect() for collect in before + after])
    np.testing.assert_array_equal(found[:, 0], np.arange(12))


def test_new_buffers_are_filled_after_computations_that_may_use_their_memory():
    card, done = FakeCard(), []
    card.cuda.compute.add(lambda: done.append("computation"))
    card.run(means, numbered(3))
    card.cuda.copies[0].carry_out(card.cuda.copies[0].given)
    assert done == ["computation"]


# -- several devices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3, 4, 11])
@pytest.mark.parametrize("kind", [CpuDevice, FakeCard])
def test_replicas_give_what_one_gives_in_the_same_order(model, pixels, devices, kind, count):
    expected = TorchEncoder(model, "cpu", "fp32", 3)(pixels[:count])
    devices(kind(), kind(), kind())
    encoder = TorchEncoder(model, "cuda:0,cuda:1,cuda:2", "fp32", 3)
    np.testing.assert_allclose(encoder(pixels[:count]), expected, atol=1e-6)
    assert expected.shape == (count, model.dims)


def test_parts_go_to_the_devices_in_turn_also_across_batches(model, pixels, devices):
    cards = [FakeCard(), FakeCard()]
    devices(*cards)
    encoder = TorchEncoder(model, "cuda:0,cuda:1", "fp32", 4)
    assert encoder.batch == 8
    for _ in range(2):  # of three parts
        encoder(pixels)
    assert sorted(cards[0].sizes + cards[1].sizes) == [3, 3, 4, 4, 4, 4]
    assert len(cards[0].sizes) == len(cards[1].sizes) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_number_of_devices_is_not_recorded(model, devices, count):
    devices(*(FakeCard() for _ in range(count)))
    encoder = TorchEncoder(model, ",".join(f"cuda:{i}" for i in range(count)), batch=2)
    assert (encoder.backend, encoder.precision) == ("torch-cuda", "bf16")


def test_precision_is_bf16_only_where_every_device_has_it(model, devices):
    devices(FakeCard(), FakeCard(FakeCuda(has_bf16=False)))
    assert TorchEncoder(model, "cuda:0,cuda:1", batch=2).precision == "fp32"
    assert TorchEncoder(model, "cuda:0,cuda:1", "bf16", batch=2).precision == "bf16"


def test_device_that_torch_does_not_find_is_named_with_those_it_finds(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DeclarationError, match=r"device cuda:2: .* CUDA devices of this machine: cuda:0, cuda:1"):
        open_devices(["cuda:1", "cuda:2"])


def test_devices_reach_the_encoder_by_name_and_auto_is_the_first(model, monkeypatch):
    asked = []

    def opened(names):
        asked.append(tuple(names))
        return [FakeCard() for _ in names]

    monkeypatch.setattr(torch_device, "open_devices", opened)
    monkeypatch.setattr(encoders, "_has_cuda_device", lambda: True)
    own = replace(model, name="of_this_test")
    several = encoders.load_encoder(own, device="cuda:0, cuda:1", batch=2)
    assert several is encoders.load_encoder(own, device="cuda:0,cuda:1", batch=2)
    first = encoders.load_encoder(own, device="auto", batch=2)
    assert first is encoders.load_encoder(own, device="cuda", batch=2) is not several
    assert asked == [("cuda:0", "cuda:1"), ("cuda:0",)]


# -- size of batches ----------------------------------------------------------------------------------------

MB = 10**6


@pytest.mark.parametrize(
    ("free", "image_bytes", "input_bytes", "batch"),
    [
        (80_000 * MB, 10 * MB, 150_000, 512),  # the largest
        (4_000 * MB, 10 * MB, 150_000, 128),  # 200 in half of the memory
        (2_560 * MB, 10 * MB, 150_000, 128),  # exactly
        (2_559 * MB, 10 * MB, 150_000, 64),
        (80_000 * MB, 10 * MB, 805_000, 64),  # 124 in 100 MB of pixels
        (100 * MB, 10 * MB, 150_000, 16),  # the least, although it may not fit
        (0, 1, 1, 16),
        (10, 10**12, 10**9, 16),
    ],
)
def test_batch_is_a_power_of_two_that_fits_the_memory(free, image_bytes, input_bytes, batch):
    assert choose_batch(free, image_bytes, input_bytes) == batch


def test_batch_follows_the_least_free_memory_of_the_devices(model, devices):
    cards = [FakeCard(FakeCuda(free=1000 * MB, per_image=MB)), FakeCard(FakeCuda(free=200 * MB, per_image=MB))]
    devices(*cards)
    assert TorchEncoder(model, "cuda:0,cuda:1").batch == 2 * 64  # of 100 in half of 200 MB
    assert (cards[0].sizes, cards[1].sizes) == ([16, 16], [])


def test_batch_of_the_lake_is_taken_without_measuring(model, devices):
    card = FakeCard()
    devices(card)
    assert TorchEncoder(model, "cuda:0", batch=24).batch == 24
    assert card.sizes == []


def test_batch_on_the_cpu_is_the_declared_one(model):
    assert TorchEncoder(replace(model, batch=5), "cpu", "fp32").batch == 5


def test_full_memory_halves_the_batch_with_a_line_each_and_loses_no_image(model, pixels, devices, caplog):
    card = FakeCard(FakeCuda(free=2))
    devices(card)
    encoder = TorchEncoder(model, "cuda:0", "fp32", 8)
    with caplog.at_level(logging.WARNING, "imrec_core.models.torch_encoder"):
        found = encoder(pixels)
    assert card.sizes == [8, 4, 2, 2, 2, 2, 2, 1]
    assert encoder.batch == 2
    assert [record.getMessage().partition("batches of ")[2] for record in caplog.records] == ["8; now 4", "4; now 2"]
    devices(CpuDevice())
    np.testing.assert_allclose(found, TorchEncoder(model, "cpu", "fp32")(pixels), atol=1e-6)


def test_memory_too_small_for_a_probe_leaves_the_least_batch(model, devices):
    devices(FakeCard(FakeCuda(free=10)))
    assert TorchEncoder(model, "cuda:0").batch == 16


def test_memory_too_small_for_one_image_is_an_error(model, pixels, devices):
    devices(FakeCard(FakeCuda(free=0)))
    with pytest.raises(DeclarationError, match=r"tiny_torchvision: the memory of .* does not hold a pass of one image"):
        TorchEncoder(model, "cuda:0", batch=4)(pixels)


# -- on a card ----------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_device_gives_the_vectors_of_the_cpu_for_batches_in_flight(model, pixels):
    encoder = TorchEncoder(model, "cuda", "fp32")
    assert encoder.batch in (16, 32, 64, 128, 256, 512)
    expected = TorchEncoder(model, "cpu", "fp32")(pixels)
    pending = [encoder.submit(pixels[first : first + 3]) for first in (0, 3, 6, 9) for _ in range(5)]
    found = [collect() for collect in pending]
    for i, first in enumerate((0, 3, 6, 9)):
        for vectors in found[5 * i : 5 * i + 5]:
            np.testing.assert_allclose(vectors, expected[first : first + 3], atol=1e-2)  # convolutions may use TF32
