"""TensorBoard's embedding projector: vectors, what is known of each image, and a sheet of small pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from imrec_core import scan
from imrec_core.explore.points import lifted
from imrec_core.export.folder import moved_into_place
from imrec_core.export.parts import Progress
from imrec_core.export.pictures import make_pictures, read_pictures, remove_pictures
from imrec_core.export.shown import Shown

MOST = 100_000
"""Points that the projector reads, at most."""

ROWS = 10_000
"""Of these for a start: its t-SNE and UMAP take samples of more, and its pictures become small."""

_SHEET, _LARGEST = 8192, 96  # pixels of a sheet's side, which graphics cards can hold, and of a picture's
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
    """Write the files that are not there, the one that names the others last; returns how many were, and are.

    Vectors are written so that the projector's Euclidean distance gives, or comes near, imrec's order.
    """
    feature, side = shown.feature.name, picture_side(len(shown))
    binary = folder / f"tensor-{feature}.bytes"
    text = binary.with_suffix(".tsv")
    is_there = [binary.exists() or text.exists()]
    if not is_there[0]:
        _write_tensor(shown, binary, text)
        progress(f"vectors of {feature}")
    for name, write in (("metadata.tsv", _write_metadata), ("sprite.jpg", _write_sprite)):
        is_there.append((folder / name).exists())
        if not is_there[-1]:
            if name == "sprite.jpg":
                make_pictures(shown.lake, shown.generation, shown.facts["image_id"].to_pylist(), side, folder, progress)
            with moved_into_place(folder / name) as temporary:
                write(shown, temporary, folder)
            progress(name)
    remove_pictures(folder)
    config = folder / "projector_config.pbtxt"
    is_there.append(config.exists())
    tensor = text if text.exists() else binary
    dims = lifted(shown.feature, shown.generation.matrix(feature)[:1]).shape[1]
    if not is_there[-1]:
        with moved_into_place(config) as temporary:
            of = {"feature": feature, "tensor": tensor.name, "rows": len(shown), "dims": dims, "side": side}
            temporary.write_text(_CONFIG.format(**of))
    return sum(is_there), len(is_there)


def picture_side(count: int) -> int:
    """Pixels of a small picture's side, so that all fit on a sheet that is a square of them."""
    return min(_LARGEST, _SHEET // math.ceil(math.sqrt(count)))


def _write_tensor(shown: Shown, binary: Path, text: Path) -> None:
    with moved_into_place(binary) as temporary:
        with temporary.open("wb") as file:
            for _, block in _vectors(shown):
                file.write(block.astype("<f4").tobytes())
        if not _is_utf8(temporary):
            return
        # The projector takes for text what can be read as such, be it all zeros.
        with moved_into_place(text) as as_text, as_text.open("w") as file:
            for _, block in _vectors(shown):
                file.writelines("\t".join(map(repr, row)) + "\n" for row in block.tolist())
    binary.unlink(missing_ok=True)


def _vectors(shown: Shown) -> Iterator[tuple[slice, Any]]:
    matrix = shown.generation.matrix(shown.feature.name)
    for part, block in scan.blocks(matrix, shown.rows):
        yield part, lifted(shown.feature, block)


def _is_utf8(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return False
    return True


def _write_metadata(shown: Shown, path: Path, _: Path) -> None:
    facts = shown.facts
    names = ["path", *(f.name for f in facts.schema if f.name != "path" and not pa.types.is_nested(f.type))]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("\t".join(map(_cell, names)) + "\n")
        for batch in facts.select(names).to_batches(8192):
            file.writelines("\t".join(map(_cell, row.values())) + "\n" for row in batch.to_pylist())


def _cell(value: object) -> str:
    """In one line and one cell."""
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.translate(_ONE_CELL)


def _write_sprite(shown: Shown, path: Path, folder: Path) -> None:
    side, across = picture_side(len(shown)), math.ceil(math.sqrt(len(shown)))
    sheet = Image.new("RGB", (across * side, across * side), _PAPER)
    for number, jpeg in enumerate(read_pictures(folder, len(shown))):
        if jpeg is None:
            continue
        picture = Image.open(io.BytesIO(jpeg))
        left = number % across * side + (side - picture.width) // 2
        top = number // across * side + (side - picture.height) // 2
        sheet.paste(picture, (left, top))
    sheet.save(path, "JPEG", quality=85)
