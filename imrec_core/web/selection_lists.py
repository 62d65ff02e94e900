"""Lists of the images of a selection: their files, their paths as text, and their properties as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imrec_core.curation.listed_images import source_roots
from imrec_core.index.generation import Generation
from imrec_core.lake import tags
from imrec_core.lake.tags import tag_file
from imrec_core.web.image_files import FILE_COLUMNS
from imrec_core.web.responses import ApiError
from imrec_core.web.routes.lake import INTERNAL_COLUMNS
from imrec_core.web.state import AppState

_FIRST = ("image_id", "source", "path", "width", "height", "taken")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet may run a cell that begins with one
_BYTE_ORDER_MARK = "\ufeff"  # without it, spreadsheets read the file as of another encoding than UTF-8


@dataclass(frozen=True)
class SelectedFiles:
    """Files of the images of a selection that the generation has, in the order of the selection.

    Attributes:
        infos: Columns of each file, as of `image_files.file_info`.
        unknown: Ids of images that the generation does not have.
    """

    infos: tuple[Mapping[str, Any], ...]
    unknown: tuple[str, ...]

    @property
    def byte_size(self) -> int:
        """Size of all files in the last scan."""
        return sum(info["byte_size"] for info in self.infos)


def selected_files(generation: Generation, images: Sequence[str]) -> SelectedFiles:
    """Find the files of some images."""
    rows = generation.rows_of(images)
    values = generation.row_table.values(rows[rows >= 0], *FILE_COLUMNS)
    infos = [dict(zip(values, file, strict=True)) for file in zip(*values.values(), strict=True)]
    return SelectedFiles(tuple(infos), tuple(image for image, row in zip(images, rows, strict=True) if row < 0))


def list_paths(state: AppState, files: SelectedFiles, *, is_full: bool) -> str:
    """List the paths of files, one a line.

    Args:
        is_full: Whether to list full paths and URLs, as on the machine of the server; else `SOURCE/path`.

    Raises:
        ApiError: 422, the name of a file has a line break.
    """
    roots = source_roots(state.lake.settings()) if is_full else {}
    paths = [f"{roots.get(info['source'], info['source'] + '/')}{info['path']}" for info in files.infos]
    for path in paths:
        if len(path.splitlines()) != 1:
            message = f"the name of {path!r} has a line break, which a list with a path a line cannot hold; use the CSV"
            raise ApiError(422, "LineBreak", message)
    return "".join(f"{path}\n" for path in paths)


def csv_of(state: AppState, generation: Generation, images: Sequence[str]) -> str:
    """Write the properties and tags of images as CSV in UTF-8, with a header.

    Lists are JSON. A text that a spreadsheet would run as a formula has an apostrophe before it.
    """
    table = generation.row_table
    rows = generation.rows_of(images)
    others = (name for name in table.column_names if name not in (*_FIRST, *INTERNAL_COLUMNS))
    names = [name for name in (*_FIRST, *others) if name in table.column_names]
    values = table.values(rows[rows >= 0], *{*names, "content_hash"})
    columns = {name: values[name] for name in names}
    if tags.COLUMN not in (name.lower() for name in names):  # a lake of an earlier version may have its own
        by_content = tag_file(state.lake).by_content()
        columns[tags.COLUMN] = [by_content.get(content, []) for content in values["content_hash"]]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_cell(name) for name in columns)
    writer.writerows(map(_cell, row) for row in zip(*columns.values(), strict=True))
    return _BYTE_ORDER_MARK + out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bool):
        return str(value).lower()
    return value.hex() if isinstance(value, bytes) else value
