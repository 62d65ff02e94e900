"""Configurations of models of timm, open_clip and torchvision by the names that these libraries give them.

`lake.toml` names such a model, and its library knows its dims and preprocessing; no weights are needed for that.
Importing a library takes seconds, so its answers are cached in files, by the version of the library.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib.metadata
import importlib.util
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import platformdirs

from imrec_core.errors import DeclarationError, LakeError, MissingDependency, UnknownName
from imrec_core.images.preprocess import Triple
from imrec_core.lake.storage.files import replacing

if TYPE_CHECKING:
    import torch

_FORMAT = 1  # of the cached files; a change of this module that changes what they hold increases it


@dataclass(frozen=True)
class LibraryModel:
    """Configuration of a model in its library.

    Attributes:
        architecture: Name of the architecture.
        weights: Name of the published weights; empty if the library has none.
        stored: Location of the weights in the library's cache, as `Model.stored`; empty if the library has none.
        dims: Length of the embedding.
        resize, crop, mean, std: As in `Preprocess`.
        fit: As in `Preprocess`, or another word of the library that imrec does not know.
        interpolation: The same.
        licence: Licence of the weights; empty if the library does not state it.
    """

    architecture: str
    weights: str
    stored: str
    dims: int
    resize: int
    crop: int
    mean: Triple
    std: Triple
    fit: str
    interpolation: str
    licence: str


@dataclass(frozen=True)
class _Library:
    """A library of models: its distribution, the extra that installs it, and the function that reads its models."""

    distribution: str
    extra: str | None
    read: Callable[[str], LibraryModel]


@functools.cache
def library_model(library: str, name: str) -> LibraryModel:
    """Return the configuration of a model by the name that its library gives it.

    Args:
        library: One of `NAMED`.
        name: `architecture.tag` for timm, `architecture/tag` for open_clip, `architecture/weights` for torchvision. The
            tag and the weights may be left out where the library has a default, or no weights.

    Raises:
        MissingDependency: The library is not installed.
        DeclarationError: The library has no such model, or a model that takes no square RGB images.
    """
    source = NAMED[library]
    if importlib.util.find_spec(library) is None:
        raise MissingDependency(library, extra=source.extra)
    version = importlib.metadata.version(source.distribution)
    folder = Path(platformdirs.user_cache_dir("imrec")) / "library_models" / f"{library}-{version}-{_FORMAT}"
    file = folder / f"{quote(name, safe='')}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # not cached, or damaged
        fields = json.loads(file.read_text("utf-8"))
        return LibraryModel(**fields | {"mean": _triple(fields["mean"]), "std": _triple(fields["std"])})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = source.read(name)
    with (
        contextlib.suppress(LakeError),
        replacing(file, synced=False) as temporary,
    ):  # without a cache it only takes longer
        temporary.write_text(json.dumps(asdict(found)), "utf-8")
    return found


def _refuse_unknown(library: str, name: str, known: Iterable[str], listing: str) -> None:
    """Raise an error that names the nearest models; a library has hundreds."""
    near = difflib.get_close_matches(name, sorted(set(known)), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"list its models with {listing}"
    raise DeclarationError(f"no {library} model named {name!r}; {hint}")


# -- timm ---------------------------------------------------------------------------------------------------


def _read_timm(name: str) -> LibraryModel:
    import timm

    architectures = timm.list_models()
    published = timm.list_models(pretrained=True)
    if name not in architectures and name not in published:
        _refuse_unknown("timm", name, [*published, *architectures], "timm.list_models(pretrained=True)")
    architecture, _, tag = name.partition(".")
    config = timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    file = f"/{config.hf_hub_filename}" if config.hf_hub_filename else ""
    channels, crop = config.input_size[0], _square("timm", name, config.input_size[1:])
    if channels != 3:
        raise DeclarationError(f"{name} of timm takes images of {channels} channels; expected RGB")
    return LibraryModel(
        architecture=architecture,
        weights=tag or config.tag or "",
        stored=f"{config.hf_hub_id}{file}" if config.hf_hub_id else str(config.url or "").rpartition("/")[2],
        dims=_dims("timm", name, lambda: timm.create_model(name, num_classes=0), crop),
        resize=int(crop / config.crop_pct),
        crop=crop,
        mean=_triple(config.mean),
        std=_triple(config.std),
        fit={"center": "shortest"}.get(config.crop_mode, config.crop_mode),
        interpolation=config.interpolation,
        licence=config.license or "",
    )


# -- open_clip ----------------------------------------------------------------------------------------------


def _read_open_clip(name: str) -> LibraryModel:
    import open_clip

    architecture, _, tag = name.rpartition("/") if "/" in name else (name, "", "")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if architecture not in open_clip.list_models():
        known = [*open_clip.list_models(), *map("/".join, open_clip.list_pretrained())]
        _refuse_unknown("open_clip", name, known, "open_clip.list_pretrained()")
    if tags and not tag:
        names = ", ".join(f"{architecture}/{each}" for each in tags)
        raise DeclarationError(f"{name!r} names no weights of open_clip; use one of: {names}")
    if tag and tag not in tags:
        raise DeclarationError(str(UnknownName(f"weights of {architecture} in open_clip", tag, tags)))
    config = open_clip.get_model_config(architecture)
    weights = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    crop = _square("open_clip", name, config["vision_cfg"]["image_size"])
    return LibraryModel(
        architecture=architecture,
        weights=tag,
        stored=weights.get("hf_hub", "").rstrip("/"),
        dims=config["embed_dim"],
        resize=crop,
        crop=crop,
        mean=_triple(weights.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        std=_triple(weights.get("std") or open_clip.OPENAI_DATASET_STD),
        fit=weights.get("resize_mode") or "shortest",
        interpolation=weights.get("interpolation") or "bicubic",
        licence="",
    )


# -- torchvision --------------------------------------------------------------------------------------------


def _read_torchvision(name: str) -> LibraryModel:
    import torchvision
    from torchvision.models import get_model, get_model_weights, list_models

    from imrec_core.models.libraries import remove_head

    architecture, _, tag = name.partition("/")
    known = list_models(module=torchvision.models)
    if architecture not in known:
        _refuse_unknown("torchvision", architecture, known, "torchvision.models.list_models()")
    published = get_model_weights(architecture)
    if tag and tag not in published.__members__:
        kind = f"weights of {architecture} in torchvision"
        raise DeclarationError(str(UnknownName(kind, tag, published.__members__)))
    weights = published[tag] if tag else published.DEFAULT
    transforms = weights.transforms()

    def create() -> torch.nn.Module:
        network: torch.nn.Module = get_model(architecture, weights=None)
        remove_head(network)
        return network

    crop = _square("torchvision", name, transforms.crop_size)
    return LibraryModel(
        architecture=architecture,
        weights=weights.name,
        stored=weights.url.rpartition("/")[2],
        dims=_dims("torchvision", name, create, crop),
        resize=_square("torchvision", name, transforms.resize_size),
        crop=crop,
        mean=_triple(transforms.mean),
        std=_triple(transforms.std),
        fit="shortest",
        interpolation=transforms.interpolation.value,
        licence=weights.meta.get("license", "BSD-3-Clause"),
    )


# -- helpers ------------------------------------------------------------------------------------------------


def _triple(numbers: Sequence[float]) -> Triple:
    red, green, blue = map(float, numbers)
    return red, green, blue


def _square(library: str, name: str, size: int | Sequence[int]) -> int:
    """Return the side of square images, from one or two numbers."""
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise DeclarationError(f"{name} of {library} takes images of {'×'.join(map(str, size))}; expected square ones")  # type: ignore[arg-type]
    return int(sides.pop())


def _dims(library: str, name: str, create: Callable[[], torch.nn.Module], side: int) -> int:
    """Return the length of the embeddings of a network, from a pass on the meta device: it computes shapes alone."""
    import torch

    for device in ("meta", "cpu"):  # a few networks compute with numbers while they are created
        try:
            with torch.device(device), torch.inference_mode():
                shape = tuple(create().eval()(torch.empty(2, 3, side, side)).shape)
            break
        except Exception as error:  # of any class
            reason = " ".join(str(error).split())[:200]
    else:
        raise DeclarationError(f"{name} of {library} does not accept RGB images of {side}×{side} pixels ({reason})")
    if len(shape) != 2:
        raise DeclarationError(f"{name} of {library} returns {shape} for 2 images; expected a vector for each")
    return int(shape[1])


NAMED: dict[str, _Library] = {
    "timm": _Library("timm", "timm", _read_timm),
    "open_clip": _Library("open_clip_torch", "clip", _read_open_clip),
    "torchvision": _Library("torchvision", None, _read_torchvision),
}
"""Libraries whose models `lake.toml` may name, by their modules."""
