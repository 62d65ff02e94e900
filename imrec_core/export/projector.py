"""TensorBoard's embedding projector: vectors, metadata and a sprite sheet of thumbnails."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
from PIL import Image

from imrec_core.export.output_folder import write_missing
from imrec_core.export.parquet_csv import Progress
from imrec_core.export.thumbnails import make_pictures, read_pictures, remove_pictures
from imrec_core.export.viewer_selection import Shown
from imrec_core.index import exact_search
from imrec_core.maps.principal_points import Points, lifted

MOST = 100_000
"""Maximum number of points that the projector reads."""

ROWS = 10_000
"""Default maximum number of points: of more, its t-SNE and UMAP use samples, and thumbnails become small."""

_SHEET, _LARGEST = 8192, 96  # maximum side in pixels: of the sheet, as graphics cards allow, and of a thumbnail
_PAPER = (245, 245, 245)
_ONE_CELL = str.maketrans(dict.fromkeys("\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", " "))
_CONFIG = """embeddings {{
  tensor_name: "{feature}"
  tensor_path: "{tensor}"
  tensor_shape: {rows}
  tensor_shape: {dims}
  metadata_path: "metadata.tsv"
  sprite {{
    image_path: "sprite.jpg"
    single_image_dim: {side}
    single_image_dim: {side}
  }}
}}
"""


def write_projector(shown: Shown, folder: Path, progress: Progress) -> tuple[int, int]:
    """Write the missing files, the configuration last; return the number of files kept, and in total.

    Vectors are lifted, so that the projector's Euclidean distance equals or approximates the order of the metric.
    """
    tensor = f"tensor-{shown.feature.name}.bytes"
    kept = write_missing(folder, {tensor: lambda path: _write_vectors(shown, path)}, progress)
    files: dict[str, Callable[[Path], object]] = {}
    if _is_utf8(folder / tensor):  # for example all zeros: the projector would parse the file as text
        tensor = f"tensor-{shown.feature.name}.tsv"
        files[tensor] = lambda path: _write_vectors_as_text(shown, path)
    files |= {
        "metadata.tsv": lambda path: _write_metadata(shown, path),
        "sprite.jpg": lambda path: _write_sprite(shown, path, folder, progress),
        "projector_config.pbtxt": lambda path: path.write_text(_config(shown, tensor)),
    }
    kept += write_missing(folder, files, progress)
    remove_pictures(folder)
    return kept, 1 + len(files)


def _config(shown: Shown, tensor: str) -> str:
    feature, side = shown.feature.name, picture_side(len(shown))
    dims = lifted(shown.feature, shown.generation.matrix(feature)[:1]).shape[1]
    return _CONFIG.format(feature=feature, tensor=tensor, rows=len(shown), dims=dims, side=side)


def picture_side(count: int) -> int:
    """Compute the side of a thumbnail in pixels, so that `count` of them fit on a square sheet."""
    return min(_LARGEST, _SHEET // math.ceil(math.sqrt(count)))


def _write_vectors(shown: Shown, path: Path) -> None:
    with path.open("wb") as file:
        for block in _vectors(shown):
            file.write(block.astype("<f4").tobytes())


def _write_vectors_as_text(shown: Shown, path: Path) -> None:
    with path.open("w") as file:
        for block in _vectors(shown):
            file.writelines("\t".join(map(repr, row)) + "\n" for row in block.tolist())


def _vectors(shown: Shown) -> Iterator[Points]:
    matrix = shown.generation.matrix(shown.feature.name)
    return (lifted(shown.feature, block) for _, block in exact_search.blocks(matrix, shown.rows))


def _is_utf8(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return False
    return True


def _write_metadata(shown: Shown, path: Path) -> None:
    facts = shown.facts
    names = ["path", *(f.name for f in facts.schema if f.name != "path" and not pa.types.is_nested(f.type))]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("\t".join(map(_cell, names)) + "\n")
        for batch in facts.select(names).to_batches(8192):
            file.writelines("\t".join(map(_cell, row.values())) + "\n" for row in batch.to_pylist())


def _cell(value: object) -> str:
    """Format a value without tabs and line breaks."""
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.translate(_ONE_CELL)


def _write_sprite(shown: Shown, path: Path, folder: Path, progress: Progress) -> None:
    side, across = picture_side(len(shown)), math.ceil(math.sqrt(len(shown)))
    make_pictures(shown.lake, shown.generation, shown.facts["image_id"].to_pylist(), side, folder, progress)
    sheet = Image.new("RGB", (across * side, across * side), _PAPER)
    for number, jpeg in enumerate(read_pictures(folder, len(shown))):
        if jpeg is None:
            continue
        picture = Image.open(io.BytesIO(jpeg))
        left = number % across * side + (side - picture.width) // 2
        top = number // across * side + (side - picture.height) // 2
        sheet.paste(picture, (left, top))
    sheet.save(path, "JPEG", quality=85)
