"""Optional libraries that let Pillow decode further formats: HEIC and JPEG XL."""

from __future__ import annotations

import re
from contextlib import suppress

from PIL import Image

from imrec_core.catalog.file_kinds import install_hint
from imrec_core.errors import MissingPlugin
from imrec_core.images.jxl_header import is_jxl

_HEIF_BRAND = re.compile(rb".{4}ftyp(heic|heix|hevc|heim|heis|hevm|hevs|mif1|msf1)", re.DOTALL)


def register() -> None:
    """Register the libraries that are installed."""
    with suppress(ImportError):
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]

        pillow_heif.register_heif_opener()
    with suppress(ImportError):
        import pillow_jxl  # type: ignore[import-not-found, unused-ignore]  # noqa: F401  # registers itself


def missing_plugin(data: bytes) -> MissingPlugin | None:
    """Return the error for a file whose library is not installed; None for any other file."""
    if _HEIF_BRAND.match(data) and "HEIF" not in Image.OPEN:
        return MissingPlugin(f"HEIC and HEIF need a library; {install_hint('heic')}")
    if is_jxl(data) and "JXL" not in Image.OPEN:
        return MissingPlugin(f"JPEG XL needs a library; {install_hint('jxl')}")
    return None
