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
from imrec_core.export.thumbnails import read_thumbnails, remove_thumbnails, write_thumbnails
from imrec_core.export.viewer_selection import ViewerSelection
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


def write_projector(selection: ViewerSelection, folder: Path, progress: Progress) -> tuple[int, int]:
    """Write the missing files, the configuration last; return the number of files kept, and in total.

    Vectors are lifted, so that the projector's Euclidean distance equals or approximates the order of the metric.
    """
    tensor = f"tensor-{selection.feature.name}.bytes"
    kept = write_missing(folder, {tensor: lambda path: _write_vectors(selection, path)}, progress)
    files: dict[str, Callable[[Path], object]] = {}
    if _is_utf8(folder / tensor):  # for example all zeros: the projector would parse the file as text
        tensor = f"tensor-{selection.feature.name}.tsv"
        files[tensor] = lambda path: _write_vectors_as_text(selection, path)
    files |= {
        "metadata.tsv": lambda path: _write_metadata(selection, path),
        "sprite.jpg": lambda path: _write_sprite(selection, path, folder, progress),
        "projector_config.pbtxt": lambda path: path.write_text(_config(selection, tensor)),
    }
    kept += write_missing(folder, files, progress)
    remove_thumbnails(folder)
    return kept, 1 + len(files)


def _config(selection: ViewerSelection, tensor: str) -> str:
    feature, side = selection.feature.name, thumbnail_side(len(selection))
    dims = lifted(selection.feature, selection.generation.matrix(feature)[:1]).shape[1]
    return _CONFIG.format(feature=feature, tensor=tensor, rows=len(selection), dims=dims, side=side)


def thumbnail_side(count: int) -> int:
    """Compute the side of a thumbnail in pixels, so that `count` of them fit on a square sheet."""
    return min(_LARGEST, _SHEET // math.ceil(math.sqrt(count)))


def _write_vectors(selection: ViewerSelection, path: Path) -> None:
    with path.open("wb") as file:
        for block in _vectors(selection):
            file.write(block.astype("<f4").tobytes())


def _write_vectors_as_text(selection: ViewerSelection, path: Path) -> None:
    with path.open("w") as file:
        for block in _vectors(selection):
            file.writelines("\t".join(map(repr, row)) + "\n" for row in block.tolist())


def _vectors(selection: ViewerSelection) -> Iterator[Points]:
    matrix = selection.generation.matrix(selection.feature.name)
    return (lifted(selection.feature, block) for _, block in exact_search.blocks(matrix, selection.rows))


def _is_utf8(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return False
    return True


def _write_metadata(selection: ViewerSelection, path: Path) -> None:
    facts = selection.facts
    names = ["path", *(f.name for f in facts.schema if f.name != "path" and not pa.types.is_nested(f.type))]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("\t".join(map(_cell, names)) + "\n")
        for batch in facts.select(names).to_batches(8192):
            file.writelines("\t".join(map(_cell, row.values())) + "\n" for row in batch.to_pylist())


def _cell(value: object) -> str:
    """Format a value without tabs and line breaks."""
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.translate(_ONE_CELL)


def _write_sprite(selection: ViewerSelection, path: Path, folder: Path, progress: Progress) -> None:
    side, across = thumbnail_side(len(selection)), math.ceil(math.sqrt(len(selection)))
    write_thumbnails(
        selection.lake, selection.generation, selection.facts["image_id"].to_pylist(), side, folder, progress
    )
    sheet = Image.new("RGB", (across * side, across * side), _PAPER)
    for number, jpeg in enumerate(read_thumbnails(folder, len(selection))):
        if jpeg is None:
            continue
        picture = Image.open(io.BytesIO(jpeg))
        left = number % across * side + (side - picture.width) // 2
        top = number // across * side + (side - picture.height) // 2
        sheet.paste(picture, (left, top))
    sheet.save(path, "JPEG", quality=85)
