"""Images of a generation as commands and the page list them, and as cells of a contact sheet."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from imrec_core.index.generation import Generation, Rows
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_core.lake.storage.files import place
from imrec_core.plots.contact_sheet import Cell, Section, save


@dataclass(frozen=True)
class ListedImage:
    """An image of the lake.

    Attributes:
        image_id: Id of the image, 16 hexadecimal digits.
        source: Name of its source in `lake.toml`.
        path: Full path or URL of the file.
    """

    image_id: str
    source: str
    path: str


def source_roots(settings: Settings) -> Mapping[str, str]:
    """Return the root of each source, with a slash at the end, so that a full path is `root + path`."""
    return {name: f"{str(root).rstrip('/')}/" for name, root in settings.sources.items()}


def list_images(lake: Lake, generation: Generation, rows: Rows) -> list[ListedImage]:
    """Return the images of some rows, in that order."""
    roots = source_roots(lake.settings())
    files = generation.columns("image_id", "source", "path").take(pa.array(rows.tolist(), pa.int64())).to_pylist()
    return [ListedImage(f["image_id"], f["source"], roots.get(f["source"], "") + f["path"]) for f in files]


def save_gallery(
    groups: Sequence[tuple[str, Sequence[tuple[str, str]]]], file: str | os.PathLike[str], *, most: int
) -> None:
    """Write a contact sheet of groups of images, the first `most` of each under its heading, with their ranks.

    Args:
        groups: Headings, each with the full paths of images and their captions. A line break parts a heading into a
            title and a note.
        file: File to write; its suffix is `.svg`, or that of a format of Pillow such as `.png`.

    Raises:
        OSError: The file cannot be written.
        ValueError: No format has that suffix.
    """
    sections = []
    for heading, images in groups:
        shown = images[:most]
        cells = [
            Cell(place(path), (caption, path.rpartition("/")[2]) if caption else (path.rpartition("/")[2],), rank=rank)
            for rank, (path, caption) in enumerate(shown, 1)
        ]
        title, _, about = heading.partition("\n")
        others = f"{len(images) - len(shown):,} more are not shown" if len(images) > len(shown) else ""
        sections.append(Section(title, cells, "  ·  ".join(filter(None, (about, others)))))
    save(sections, file)
