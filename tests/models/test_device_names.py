"""What `--device`, `IMREC_DEVICE` and `load_encoder` take as devices."""

import pytest

from imrec_core.errors import DeclarationError
from imrec_core.models.device_names import parse_devices
from imrec_core.models.encoders import load_encoder


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("auto", ("auto",)),
        ("cpu", ("cpu",)),
        ("cuda", ("cuda:0",)),
        ("cuda:1", ("cuda:1",)),
        ("cuda:0,cuda:1", ("cuda:0", "cuda:1")),
        ("cuda:1, cuda:0", ("cuda:1", "cuda:0")),
    ],
)
def test_devices_are_named_alone_or_in_a_list(text, names):
    assert parse_devices(text) == names
    assert parse_devices(",".join(names)) == names


@pytest.mark.parametrize(
    "text", ["", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda:01", "cuda0", "cuda:٣", " cpu"]
)
def test_other_names_are_refused_with_those_that_are_taken(text):
    with pytest.raises(DeclarationError, match="expected auto, cpu, cuda, or CUDA devices by number") as refused:
        parse_devices(text)
    assert repr(text.strip()) in str(refused.value)


@pytest.mark.parametrize("text", ["cuda,cuda:1", "cuda:0,cpu", "auto,cuda:0", "cuda:0,", "cuda:0,,cuda:1"])
def test_a_list_holds_numbered_cuda_devices_only(text):
    with pytest.raises(DeclarationError, match=f"in '{text}'; expected"):
        parse_devices(text)


def test_a_device_is_named_once():
    with pytest.raises(DeclarationError, match="'cuda:1,cuda:1' names cuda:1 twice"):
        parse_devices("cuda:1,cuda:1")


def test_encoder_refuses_other_names_before_it_loads_anything():
    with pytest.raises(DeclarationError, match="found 'gpu'"):
        load_encoder("efficientnet_lite0", device="gpu")
