"""Folders of symbolic links to hits, for file browsers: `imrec search --link`.

A folder holds a hidden file with the names of its links. A later search replaces those links, and nothing else.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imrec_core.lake.storage.files import AnyPath, is_url, write_bytes

if TYPE_CHECKING:
    from imrec_core.search.hits import Hits

_LIST = ".imrec_links"  # in the folder: the names of its links, as JSON
_LONGEST = 255  # bytes of a file name


def check_folder(folder: Path, sources: Mapping[str, AnyPath]) -> list[str]:
    """Return the names of the links in a folder, none if it is new or empty.

    Raises:
        click.BadParameter: The folder holds something else, or is inside a source, whose scan would find the links.
    """
    target = folder.resolve()
    for name, root in sources.items():
        if not is_url(str(root)) and target.is_relative_to(Path(str(root)).resolve()):
            raise _error(f"{folder} is inside the source {name!r}, and a build would read the links as images")
    try:
        found = sorted(set(os.listdir(folder)) - {_LIST})
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _error(f"cannot read {folder}: {error.strerror}") from error
    made = _read_list(folder / _LIST)
    for name in found:
        if name not in made or not (folder / name).is_symlink():
            raise _error(f"{folder} holds {name!r}, which is no link by --link; give a new or an empty folder")
    return found


def link_hits(hits: "Hits", folder: Path) -> str:
    """Link the hits into a folder, named by rank and file name, in place of the links of an earlier search.

    Returns:
        How many links were made, and how many hits have no local file.

    Raises:
        click.BadParameter: The folder cannot be used, or a link cannot be made.
    """
    old = check_folder(folder, {})
    digits = max(len(str(max((hit.rank for hit in hits), default=0))), 2)
    targets = {
        _link_name(f"{hit.rank:0{digits}}", hit.path): os.path.abspath(hit.path)
        for hit in hits
        if not is_url(hit.path) and os.path.exists(hit.path)
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_list(folder, [*old, *targets])  # first, so that an interrupted run leaves no link that it does not list
        for name in old:
            (folder / name).unlink()
        for name, target in targets.items():
            os.symlink(target, folder / name)
        _write_list(folder, targets)
    except OSError as error:
        raise _error(f"cannot link into {folder}: {error.strerror or error}") from error
    missing = f"; {len(hits) - len(targets)} hits have no local file" if len(targets) < len(hits) else ""
    return f"links to the hits: {len(targets)} in {folder}{missing}"


def _link_name(rank: str, path: str) -> str:
    name = os.path.basename(path)
    while len(os.fsencode(f"{rank}_{name}")) > _LONGEST:
        name = name[1:]  # keeps the suffix, by which a file browser knows the type
    return f"{rank}_{name}"


def _read_list(file: Path) -> list[str]:
    try:
        names = json.loads(file.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise _error(f"cannot read {file}: {error}") from error
    return names if isinstance(names, list) else []


def _write_list(folder: Path, names: Iterable[str]) -> None:
    write_bytes(folder / _LIST, json.dumps(list(names)).encode())


def _error(text: str) -> click.BadParameter:
    return click.BadParameter(text, param_hint="--link")
