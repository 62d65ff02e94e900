"""Names of the devices on which networks run, as `--device` and `IMREC_DEVICE` take them."""

from __future__ import annotations

import re

from imrec_core.errors import DeclarationError

_CARD = re.compile(r"cuda:(0|[1-9]\d{0,2})", re.ASCII)


def parse_devices(text: str) -> tuple[str, ...]:
    """Return the names of the devices in a setting, without looking for them.

    Args:
        text: `auto`, `cpu`, `cuda` for the first CUDA device, or a list of CUDA devices such as `cuda:0,cuda:1`.

    Returns:
        `("auto",)`, `("cpu",)`, or one or more names with a number: `("cuda:0", "cuda:1")`.

    Raises:
        DeclarationError: The text is something else, or names a device twice.
    """
    if text in ("auto", "cpu"):
        return (text,)
    if text == "cuda":
        return ("cuda:0",)
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not _CARD.fullmatch(name):
            found = f"{name!r} in {text!r}" if len(names) > 1 else repr(name)
            raise DeclarationError(
                f"device: found {found}; expected auto, cpu, cuda, or CUDA devices by number, such as cuda:0,cuda:1"
            )
        if names.count(name) > 1:
            raise DeclarationError(f"device: {text!r} names {name} twice")
    return names
