"""Photos to try imrec with: real ones that other libraries carry, edited copies of them, and broken files.

Nothing is downloaded: scikit-learn and scikit-image install these photos with their code.
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

from imrec_core.edits import EDITS
from imrec_core.errors import MissingDependency

# Drawings and charts beside them are left out; so is what scikit-image would fetch when asked for it.
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
    """Write the demo photos that are not in ``folder`` yet; what is there stays untouched.

    Each photo is written as ``<name>.jpg`` and, for every edit, as ``<name>__<edit>.<suffix>``; ``broken/``
    gets files that cannot be decoded. The bytes depend on nothing but the versions of Pillow and of the
    libraries that carry the photos.

    Returns:
        How many demo photos the folder holds, the broken ones among them.

    Raises:
        MissingDependency: scikit-image is not installed.
    """
    makers = _photos() | _broken()
    for path, make in makers.items():
        _write_once(folder / path, make)
    return len(makers)


def _photos() -> dict[str, Callable[[], bytes]]:
    """Path inside the folder → what makes its bytes, the copies of one photo next to each other."""
    makers: dict[str, Callable[[], bytes]] = {}
    for package, names in PHOTOS.items():
        _root(package)  # a library that is missing is told before anything is written
        for name in names:
            stem = Path(name).stem
            makers[f"{stem}.jpg"] = partial(_original, package, name)
            for edit in EDITS.values():
                makers[f"{stem}__{edit.name}{edit.suffix}"] = partial(_copy, package, name, edit.name)
    return makers


def _root(package: str) -> Traversable:
    try:
        return files(package)
    except ModuleNotFoundError as e:
        raise MissingDependency("scikit-image", extra="demo") from e


@lru_cache(maxsize=1)  # the copies of a photo are made one after the other
def _load(package: str, name: str) -> Image.Image:
    with (_root(package) / name).open("rb") as file, Image.open(file) as stored:
        picture = stored.convert("RGB")
    picture.thumbnail((_LONGER_SIDE, _LONGER_SIDE), Image.Resampling.LANCZOS)
    return picture


def _original(package: str, name: str) -> bytes:
    return _encode(_load(package, name), "JPEG", quality=95)


def _copy(package: str, name: str, edit: str) -> bytes:
    return EDITS[edit](_load(package, name))


def _encode(picture: Image.Image, file_format: str, **options: int) -> bytes:
    file = BytesIO()
    picture.save(file, format=file_format, **options)
    return file.getvalue()


def _broken() -> dict[str, Callable[[], bytes]]:
    return {
        "broken/empty.jpg": bytes,
        "broken/half.webp": lambda: _half(_encode(_disc(), "WEBP")),
        "broken/huge.png": lambda: _png_that_claims(60_000, 60_000),
        "broken/text.jpg": lambda: b"This is a text that somebody renamed.\n",
        "broken/truncated.jpg": lambda: _half(_encode(_disc(), "JPEG")),
    }


def _disc() -> Image.Image:
    return Image.radial_gradient("L").convert("RGB")


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _png_that_claims(width: int, height: int) -> bytes:
    """A few bytes whose header asks the reader for gigabytes of memory."""
    chunks = (
        b"IHDR" + pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT" + compress(bytes(1024)),
        b"IEND",
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(chunk) - 4) + chunk + pack(">I", crc32(chunk)) for chunk in chunks
    )


def _write_once(path: Path, make: Callable[[], bytes]) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(make())
    unfinished.replace(path)
