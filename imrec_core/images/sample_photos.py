"""Demo photos: photos that scikit-learn and scikit-image install, edited copies of them, and broken files.

Nothing is downloaded.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path
from struct import pack
from zlib import compress, crc32

from PIL import Image

from imrec_core.errors import MissingDependency
from imrec_core.images.edits import EDITS

# Without the drawings and charts of these packages, and without the photos that scikit-image downloads on demand.
PHOTOS: dict[str, tuple[str, ...]] = {
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
    "skimage.data": (
        "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png",
        "coffee.png", "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png",
        "motorcycle_left.png", "motorcycle_right.png", "page.png", "retina.jpg", "rocket.jpg", "text.png",
    ),
}  # fmt: skip

_LONGER_SIDE = 1024


def prepare(folder: Path) -> int:
    """Write the demo photos that `folder` lacks; existing files stay unchanged.

    Each photo becomes `<name>.jpg`, and each edited copy `<name>__<edit>.<suffix>`. `broken/` gets files that cannot be
    decoded. The bytes depend only on the versions of Pillow and of the packages with the photos.

    Returns:
        Number of demo photos in the folder, including the broken ones.

    Raises:
        MissingDependency: scikit-image is not installed.
    """
    makers = _photos() | _broken_files()
    for path, make in makers.items():
        _write_if_missing(folder / path, make)
    return len(makers)


def _photos() -> dict[str, Callable[[], bytes]]:
    """Return functions that make each file, by path; copies follow their photo."""
    makers: dict[str, Callable[[], bytes]] = {}
    for package, names in PHOTOS.items():
        _root(package)  # fails before any file is written
        for name in names:
            stem = Path(name).stem
            makers[f"{stem}.jpg"] = partial(_encode_original, package, name)
            for edit in EDITS.values():
                makers[f"{stem}__{edit.name}{edit.suffix}"] = partial(_encode_copy, package, name, edit.name)
    return makers


def _root(package: str) -> Traversable:
    try:
        return files(package)
    except ModuleNotFoundError as e:
        raise MissingDependency("scikit-image", extra="demo") from e


@lru_cache(maxsize=1)  # the copies of a photo are made in a row
def _load(package: str, name: str) -> Image.Image:
    with (_root(package) / name).open("rb") as file, Image.open(file) as stored:
        image = stored.convert("RGB")
    image.thumbnail((_LONGER_SIDE, _LONGER_SIDE), Image.Resampling.LANCZOS)
    return image


def _encode_original(package: str, name: str) -> bytes:
    return _encode(_load(package, name), "JPEG", quality=95)


def _encode_copy(package: str, name: str, edit: str) -> bytes:
    return EDITS[edit](_load(package, name))


def _encode(image: Image.Image, file_format: str, **options: int) -> bytes:
    file = BytesIO()
    image.save(file, format=file_format, **options)
    return file.getvalue()


def _broken_files() -> dict[str, Callable[[], bytes]]:
    return {
        "broken/empty.jpg": bytes,
        "broken/half.webp": lambda: _first_half(_encode(_disc(), "WEBP")),
        "broken/huge.png": lambda: _png_with_header(60_000, 60_000),
        "broken/text.jpg": lambda: b"This is a text that somebody renamed.\n",
        "broken/truncated.jpg": lambda: _first_half(_encode(_disc(), "JPEG")),
    }


def _disc() -> Image.Image:
    return Image.radial_gradient("L").convert("RGB")


def _first_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _png_with_header(width: int, height: int) -> bytes:
    """Make a small PNG file whose header declares gigabytes of pixels."""
    chunks = (
        b"IHDR" + pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT" + compress(bytes(1024)),
        b"IEND",
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(chunk) - 4) + chunk + pack(">I", crc32(chunk)) for chunk in chunks
    )


def _write_if_missing(path: Path, make: Callable[[], bytes]) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(make())
    unfinished.replace(path)
