"""Tags of images: which contents a user names, and how many images have each tag. `lake.tags` stores them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from imrec_core.duplicates.decisions import content_of
from imrec_core.errors import QueryError
from imrec_core.index.generation import Generation, Rows
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.tags import change_tag, tag_file
from imrec_core.sql.policy import SqlPolicy


@dataclass(frozen=True)
class TagCount:
    """A tag with the number of images of the current generation that have it."""

    tag: str
    images: int


def tag_images(
    lake: Lake, name: str, images: Sequence[str] = (), *, where: str | None = None, remove: bool = False
) -> int:
    """Give a tag to images, or take it away. All copies with the same bytes have the same tags.

    Args:
        images: Files of the lake, or images by `image_id`.
        where: SQL condition over the rows, for the images that satisfy it.

    Returns:
        Number of images of the lake whose tags have changed.

    Raises:
        QueryError: The name is not valid, no image is named, an image is not in the lake, or `where` is not a valid
            condition.
        UnreadableImage: A file cannot be read.
        LakeError: The tags cannot be read or written.
    """
    generation = open_generation(lake)
    of_images = {image: content_of(lake, image) for image in images}
    known = set(generation.live_table(["content_hash"])["content_hash"].to_pylist()) if images else set()
    unknown = [image for image, content in of_images.items() if content not in known]
    if unknown:
        raise QueryError(f"{unknown[0]} is not in the lake, as it is now; run: imrec build")
    contents = dict.fromkeys(of_images.values())
    if where is not None:
        contents |= dict.fromkeys(_contents_of_rows(generation, generation.filter.rows(where, SqlPolicy.TRUSTED)))
    if not contents:
        raise QueryError(f"no image to tag: none satisfies {where!r}" if where else "no image to tag; name some")
    return tag_contents(lake, generation, name, list(contents), remove=remove)


def tag_contents(lake: Lake, generation: Generation, name: str, contents: Sequence[str], *, remove: bool) -> int:
    """Give a tag to contents, or take it away; return the number of images of the generation that have changed.

    Raises:
        QueryError: The name is not valid.
        LakeError: The tags cannot be read or written.
    """
    before = _count_images(lake, generation)[name]
    change_tag(lake, name, contents, remove=remove)
    return abs(_count_images(lake, generation)[name] - before)


def count_tags(lake: Lake, generation: Generation) -> list[TagCount]:
    """List the tags with their numbers of images, by name; 0 for a tag of images that are gone.

    Raises:
        SchemaMismatch: The file of the tags is damaged.
    """
    counts = _count_images(lake, generation)
    return [TagCount(name, counts[name]) for name in sorted(tag_file(lake).read())]


def _count_images(lake: Lake, generation: Generation) -> Counter[str]:
    contents = Counter(generation.live_table(["content_hash"])["content_hash"].to_pylist())
    tags = tag_file(lake).read()
    return Counter({name: sum(contents[content] for content in tagged) for name, tagged in tags.items()})


def _contents_of_rows(generation: Generation, rows: Rows) -> list[str]:
    taken = generation.columns("content_hash")["content_hash"].take(pa.array(rows.tolist(), pa.int64()))
    return [str(content) for content in taken.to_pylist() if content is not None]
