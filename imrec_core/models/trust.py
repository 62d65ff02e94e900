"""Trust in networks that run code: a lake is data, and may come from someone else.

`lake.toml` can name any Python function, and a TorchScript file is a program. Neither is imported, called or read until
a network is loaded, and then only if the user trusts the lake. The other formats hold weights alone.
"""

from __future__ import annotations

import os

from imrec_core.errors import UntrustedModel
from imrec_core.models.model import Model

VARIABLE = "IMREC_TRUST_MODELS"
"""Environment variable that trusts the networks of all lakes, if it is `1`. No setting of a lake can do that."""

_CODE = {"module": "the Python function", "torchscript": "the TorchScript program"}


def trust_models() -> None:
    """Trust the networks of all lakes that this process, and those that it starts, will open."""
    os.environ[VARIABLE] = "1"


def require_trust(model: Model) -> None:
    """Check that a network may run its code.

    Raises:
        UntrustedModel: It would run code that its lake names, and the user did not allow that.
    """
    if model.loader in _CODE and os.environ.get(VARIABLE) != "1":
        raise UntrustedModel(model.name, f"{_CODE[model.loader]} {model.weights or model.file}")
