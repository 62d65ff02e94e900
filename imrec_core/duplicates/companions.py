"""Companions of images: files that belong to an image by their names, such as `.xmp` sidecars and RAW files.

A companion has the stem of its image and lies in the same folder; case does not matter. Companions go along when their
image is moved, and are no copies of it.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from imrec_core.duplicates.file_identity import FileId, file_id
from imrec_core.lake.settings import EXTENSIONS, RAW_EXTENSIONS
from imrec_core.lake.storage.files import is_url

SIDECARS = frozenset({"xmp", "aae"})
_PARTNERS = {*RAW_EXTENSIONS, "mov"}  # files in their own right, which may have sidecars
_COMPANIONS = SIDECARS | _PARTNERS


@dataclass(frozen=True, slots=True)
class _Member:
    """One file of a folder, by its name.

    Attributes:
        folded: The name, without differences of case and of Unicode normalisation.
        stem: Folded stem that an image and its companions share.
        of: Folded name of the file that a sidecar is named after in full, as `IMG_1.JPG.xmp` is; empty for others.
    """

    name: str
    folded: str
    ending: str
    stem: str
    of: str = ""


class Folder:
    """The names of images and companions in one folder, by the stem that they share.

    Images without companions are not held, and no names of a folder without companions: most of a large lake.

    Args:
        names: File names in the folder.
        endings: Extensions of images, in addition to those that sources have by default.
    """

    def __init__(self, names: Iterable[str], endings: Collection[str] = ()) -> None:
        self._images = {*EXTENSIONS, *endings} - _COMPANIONS
        ordered = sorted(names)
        companions = [name for name in ordered if extension(name) in _COMPANIONS]
        self._folded = set(map(_fold, ordered)) if companions else set()
        self._families: dict[str, list[_Member]] = {self._member(name).stem: [] for name in companions}
        for member in map(self._member, ordered if companions else ()):
            if member.stem in self._families:
                self._families[member.stem].append(member)

    def companions(self, image: str) -> list[str]:
        """List the companions of an image: also the sidecars of its RAW file and its video."""
        family = self._family(image)
        owners = {"", _fold(image), *(member.folded for member in family if member.ending in _PARTNERS)}
        return [
            member.name
            for member in family
            if member.ending in _COMPANIONS and member.of in owners and member.name != image
        ]

    def owners(self, name: str) -> list[str]:
        """List the images that a companion belongs to; of a RAW file and a JPEG, only the JPEG counts as one."""
        images = [member.name for member in self._family(name) if member.ending in self._images]
        return [image for image in images if name in self.companions(image)]

    def _family(self, name: str) -> list[_Member]:
        return self._families.get(self._member(name).stem, [])

    def _member(self, name: str) -> _Member:
        folded = _fold(name)
        stem, ending = os.path.splitext(folded)
        inner_stem, inner_ending = os.path.splitext(stem)
        if ending[1:] in SIDECARS and inner_ending and stem in self._folded:
            return _Member(name, folded, ending[1:], inner_stem, stem)
        return _Member(name, folded, ending[1:], stem)


class Folders:
    """Companions by their paths. Each local folder is listed once.

    Args:
        endings: Extensions of images, in addition to those that sources have by default.
    """

    def __init__(self, endings: Collection[str] = ()) -> None:
        self._endings = endings
        self._listed: dict[str, Folder] = {}

    def companions(self, path: str) -> list[str]:
        """List the paths of the companions of an image; none for an object."""
        folder, name = os.path.split(path)
        return [os.path.join(folder, companion) for companion in self._folder(folder).companions(name)]

    def obstacle(self, path: str, moving: Collection[str], staying: Collection[FileId]) -> str:
        """Explain why an image cannot be moved with all its companions; empty if it can.

        Args:
            path: The image; it may be a RAW file, and so itself the companion of another image.
            moving: Paths of all files to move.
            staying: Files that must stay.
        """
        companions = self.companions(path)
        for companion in companions:
            if os.path.islink(companion):
                return f"its companion {os.path.basename(companion)} is a link"
            if file_id(companion) in staying:
                return f"its companion {os.path.basename(companion)} must stay"
        for owner in self._owners(path):
            if owner not in moving:
                return f"it is a companion of {os.path.basename(owner)}, which stays"
        for companion in companions:
            for owner in self._owners(companion):
                if owner != path and owner not in moving:
                    name = os.path.basename(companion)
                    return f"its companion {name} also belongs to {os.path.basename(owner)}, which stays"
        return ""

    def _owners(self, path: str) -> list[str]:
        folder, name = os.path.split(path)
        return [os.path.join(folder, owner) for owner in self._folder(folder).owners(name)]

    def _folder(self, folder: str) -> Folder:
        if folder not in self._listed:
            self._listed[folder] = Folder(_list_files(folder), self._endings)
        return self._listed[folder]


def without_companions(paths: Sequence[str]) -> list[str]:
    """Leave out the files that are companions of another file of the list, in its order."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_folder[os.path.dirname(path)].append(os.path.basename(path))
    dropped = {(folder, name) for folder, names in by_folder.items() for name in _companions_among(names)}
    return [path for path in paths if os.path.split(path) not in dropped]


def extension(path: str) -> str:
    """Return the extension of a path, folded, without the dot."""
    return os.path.splitext(_fold(path))[1][1:]


def _companions_among(names: Sequence[str]) -> list[str]:
    """List the names that are companions of others, images before RAW files."""
    folder, owners, found = Folder(names), list[str](), list[str]()
    for name in sorted(names, key=lambda name: extension(name) in _COMPANIONS):
        is_companion = any(name in folder.companions(owner) for owner in owners)
        (found if is_companion else owners).append(name)
    return found


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _list_files(folder: str) -> list[str]:
    if is_url(folder):
        return []
    try:
        with os.scandir(folder or ".") as entries:
            return [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
