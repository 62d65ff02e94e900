"""Loading of pretrained models as torch modules, each by its own library.

A library is imported when one of its models is loaded. It downloads missing weights into its own cache. Cached weights
load without network access.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import ssl
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imrec_core.errors import BadModel, ImrecError, MissingDependency, MissingWeights
from imrec_core.models.libraries import LOADERS, open_clip_name
from imrec_core.models.model import Model
from imrec_core.models.trust import require_trust
from imrec_core.models.weights import find_on_hub, remedy

if TYPE_CHECKING:
    import torch

_CONNECT_SECONDS = 5
_load_lock = threading.RLock()  # loading changes settings of the whole process


def weights_here(model: Model) -> bool:
    """Return whether the weights are on this machine, without network access or torch."""
    return LOADERS[model.loader].find(model) is not None


def fetch(model: Model) -> None:
    """Download the weights and the tokenizer of a model, with a progress bar.

    Raises:
        MissingDependency, MissingWeights, BadModel: As `load_module`.
    """
    load_module(model)
    if model.text:
        load_tokenizer(model)


def load_module(model: Model) -> torch.nn.Module:
    """Load a network in eager fp32.

    It maps normalised pixels `(n, 3, crop, crop)` to vectors `(n, dims)`.

    Raises:
        UntrustedModel: The model would run code of a lake that is not trusted.
        MissingDependency: The library of the model is not installed.
        MissingWeights: The weights are not on this machine and could not be downloaded.
        BadModel: The weights are damaged, or belong to another network.
    """
    require_trust(model)
    with loading(model, LOADERS[model.loader].find):
        return LOADERS[model.loader].load(model)


@contextlib.contextmanager
def loading(model: Model, find: Callable[[Model], Path | None]) -> Iterator[None]:
    """Translate the errors of a block that loads a part of a model.

    If that part is cached, the block runs without network access.

    Args:
        model: The model.
        find: Returns the path of that part; None if it must be downloaded.
    """
    loader = LOADERS[model.loader]
    if importlib.util.find_spec(loader.library) is None:
        raise MissingDependency(loader.library, extra=model.extra)
    path = find(model)
    if path is None:
        _require_connection(model, "" if model.by_name and "/" not in model.stored else loader.host)
    try:
        with _load_lock, _silence_libraries(), _hub_offline(path not in (None, model.file)):
            yield
    except ImrecError:
        raise
    except ModuleNotFoundError as error:
        raise MissingDependency(error.name or loader.library, extra=model.extra) from error
    except Exception as error:  # of any class: of the library, of zip files, of pickle
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        path = find(model)
        if path is None:
            raise MissingWeights(model.name, reason, hint=_hint_for_gated(model, reason)) from error
        raise BadModel(model.name, f"cannot load {path}: {reason}{remedy(model)}") from error


def _require_connection(model: Model, host: str) -> None:
    """Raise an error early if the host cannot be reached.

    The Hugging Face hub alone retries for 45 s (huggingface_hub 2.4).
    """
    if model.file is not None and not model.file.exists():
        raise MissingWeights(model.name, f"no file {model.file}", hint="correct 'file' in lake.toml")
    if not host:
        return
    try:
        request = urllib.request.Request(_host_url(host), method="HEAD")
        urllib.request.urlopen(request, timeout=_CONNECT_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # the host replied, so there is a connection
    except OSError as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):  # the library may trust other certificates
            hint = f"connect to the internet and run: imrec models --fetch {model.name}"
            raise MissingWeights(model.name, f"no connection to {host}: {reason}", hint=hint) from error


def _hint_for_gated(model: Model, reason: str) -> str | None:
    """Return advice for weights whose licence must be accepted on the hub first, else None."""
    if "gated repo" not in reason:
        return None
    page = f"https://huggingface.co/{'/'.join(model.stored.split('/')[:2])}"
    return f"accept their licence on {page}, log in with `hf auth login`, and run: imrec models --fetch {model.name}"


def _host_url(host: str) -> str:
    """Return the URL of a host; for the Hugging Face hub the configured endpoint."""
    if host == "huggingface.co" and importlib.util.find_spec("huggingface_hub") is not None:
        from huggingface_hub import constants

        return str(constants.ENDPOINT)
    return f"https://{host}"


@contextlib.contextmanager
def _silence_libraries() -> Iterator[None]:
    """Hide warnings of libraries, and open_clip's messages to the root logger."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(handler)


@contextlib.contextmanager
def _hub_offline(is_cached: bool) -> Iterator[None]:
    """Keep the Hugging Face hub from checking for newer versions of cached files."""
    if not is_cached or importlib.util.find_spec("huggingface_hub") is None:
        yield
        return
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


# -- tokenizers ---------------------------------------------------------------------------------------------


def load_tokenizer(model: Model) -> Callable[[list[str]], Any]:
    """Load the tokenizer of a model with a text tower.

    open_clip contains the tokenizer of CLIP; that of SigLIP comes from the Hugging Face hub.

    Raises:
        MissingDependency, MissingWeights, BadModel: As `load_module`.
    """
    try:
        return _load_found_tokenizer(model, _find_tokenizer)
    except BadModel:
        if model.is_custom:
            raise
        return _load_found_tokenizer(model, lambda model: None)  # the cache lacks other files that transformers needs


def _load_found_tokenizer(model: Model, find: Callable[[Model], Path | None]) -> Callable[[list[str]], Any]:
    with loading(model, find):
        import open_clip

        tokenizer: Callable[[list[str]], Any] = open_clip.get_tokenizer(open_clip_name(model))
        return tokenizer


def _find_tokenizer(model: Model) -> Path | None:
    """Find a file of the tokenizer, which may be one of open_clip."""
    import open_clip

    name = open_clip_name(model)
    config = {} if name.startswith("local-dir:") else open_clip.get_model_config(name) or {}
    repository = config.get("text_cfg", {}).get("hf_tokenizer_name")
    if repository:
        return find_on_hub(repository, ("tokenizer.json", "tokenizer_config.json"))
    return model.file or Path(open_clip.__file__)
