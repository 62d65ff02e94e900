"""Why a picture is like another, as facts: the keypoints and the colours that both have.

How near they are by each feature the search itself says; `explain_sheet` draws all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core import keypoints
from imrec_core.decode import WELL_KNOWN, Pixels, decode, decode_file, from_pillow
from imrec_core.errors import UnreadableImage
from imrec_core.keypoints import Keypoints
from imrec_core.storage import AnyPath

Points = NDArray[np.float64]

_LONGEST = 480  # pixels that are held of the longer side

_COLOURS = 16  # of both pictures together; of 8, pink boots on a brown sofa had none of their own
_ALIKE = 15.0  # CIE76 difference below which two colours are one; MPEG-7 has 10 to 20, which joined sand and sea
_LEAST_SHARE = 0.02  # of each picture
_SIDE = 64  # pixels of the square that colours are counted in


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture as it is explained.

    Attributes:
        pixels: RGB `(h, w, 3)` uint8, upright, of bounded size.
        width, height: Upright, at full size.
        name: Of its file; empty for a picture in memory.
    """

    pixels: Pixels
    width: int
    height: int
    name: str = ""

    @classmethod
    def of(cls, shown: AnyPath | Image.Image) -> Seen:
        """A file, or a picture that is already open.

        Raises:
            ImageError: The file cannot be read or decoded; the message names it. Or the picture was closed.
        """
        if isinstance(shown, Image.Image):
            pixels, name = _converted(shown), ""
            height, width = pixels.shape[:2]
        else:
            picture, name = decode_file(shown, min_side=_LONGEST), shown.name
            pixels, width, height = picture.pixels, picture.width, picture.height
        return cls(np.ascontiguousarray(keypoints.bounded(pixels, _LONGEST)[..., :3]), width, height, name)

    @classmethod
    def of_bytes(cls, data: bytes, *, max_pixels: int) -> Seen:
        """The bytes of a file, of a `decode.WELL_KNOWN` format.

        Raises:
            ImageError: They cannot be decoded.
        """
        picture = decode(data, max_pixels=max_pixels, min_side=_LONGEST, formats=WELL_KNOWN)
        pixels = np.ascontiguousarray(keypoints.bounded(picture.pixels, _LONGEST)[..., :3])
        return cls(pixels, picture.width, picture.height)

    @cached_property
    def keypoints(self) -> Keypoints:
        return keypoints.find(self.pixels)

    def at_full_size(self, places: NDArray[np.float32]) -> Points:
        """Places in `pixels` as places in the full picture."""
        held_height, held_width = self.pixels.shape[:2]
        scale = np.array([self.width / held_width, self.height / held_height])
        return np.asarray((places + 0.5) * scale - 0.5, np.float64)


@dataclass(frozen=True)
class SharedColour:
    """A colour that both pictures have much of.

    Attributes:
        rgb: Its mean over both, 0 to 255 each.
        in_query, in_hit: Share of the picture, 0 to 1.
    """

    rgb: tuple[int, int, int]
    in_query: float
    in_hit: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a query and a hit share.

    Attributes:
        query: None where there is no picture of it: words, vectors.
        query_points, hit_points: Places `(n, 2)` of keypoints that look alike and agree in one shift, turn and scale;
            the i-th of one belongs to the i-th of the other. x, then y, in pixels of the upright full pictures, whole
            numbers in the middle of a pixel. None at all where no more agree than chance may bring.
        alike: How many look alike, before it is asked which agree.
        is_mirrored: Whether it is the mirrored query that they agree with; `query_points` are in the query as it is.
        colours: That of which both have most first.
    """

    query: Seen | None
    hit: Seen
    query_points: Points
    hit_points: Points
    alike: int = 0
    is_mirrored: bool = False
    colours: tuple[SharedColour, ...] = ()


def explanation(query: AnyPath | Image.Image | None, hit: AnyPath) -> Explanation:
    """What a query, where there is a picture of it, and the file of a hit share.

    Raises:
        ImageError: A file cannot be read or decoded; the message names it.
    """
    return explanation_of(None if query is None else Seen.of(query), Seen.of(hit))


def best_explanation(queries: Sequence[AnyPath | Image.Image], hit: AnyPath) -> tuple[int, Explanation]:
    """Which of several queries has most keypoints that agree with the hit, the first of equals, and what they share.

    Raises:
        ImageError: A file cannot be read or decoded; the message names it.
    """
    return best_of([Seen.of(query) for query in queries], Seen.of(hit))


def best_of(queries: Sequence[Seen], hit: Seen) -> tuple[int, Explanation]:
    """The same of pictures that are read already."""
    explained = [explanation_of(query, hit) for query in queries]
    best = max(range(len(explained)), key=lambda i: len(explained[i].hit_points))
    return best, explained[best]


def explanation_of(query: Seen | None, hit: Seen) -> Explanation:
    """What two pictures that are read already share."""
    if query is None:
        return Explanation(None, hit, np.empty((0, 2)), np.empty((0, 2)))
    width = query.pixels.shape[1]
    match, is_mirrored = keypoints.match(query.keypoints, hit.keypoints), False
    if match.move is None:
        other = keypoints.match(keypoints.mirrored(query.keypoints, width), hit.keypoints)
        if other.move is not None:
            match, is_mirrored = other, True
    places = match.moving[match.agrees]
    if is_mirrored:
        places = places * (-1, 1) + (width - 1, 0)
    return Explanation(
        query,
        hit,
        query.at_full_size(places),
        hit.at_full_size(match.standing[match.agrees]),
        len(match.agrees),
        is_mirrored,
        shared_colours(query.pixels, hit.pixels),
    )


# -- colours ------------------------------------------------------------------------------------------------


def shared_colours(query: Pixels, hit: Pixels) -> tuple[SharedColour, ...]:
    """Colours that are at least 2 % of either picture, that of which both have most first; deterministic.

    The pixels of both are clustered together in CIELAB by k-means (Lloyd 1982, doi:10.1109/TIT.1982.1056489), seeded as
    k-means++, and clusters that look alike are joined, as in the dominant colours of MPEG-7 (Manjunath et al. 2001,
    doi:10.1109/76.927424).

    Args:
        query, hit: RGB `(h, w, 3)` uint8; sizes may differ.
    """
    import cv2

    samples = np.concatenate([_lab(pixels) for pixels in (query, hit)])
    labels = np.empty((len(samples), 1), np.int32)
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.5)
    cv2.setRNGSeed(0)
    _, found, centres = cv2.kmeans(samples, _COLOURS, labels, until, 1, cv2.KMEANS_PP_CENTERS)
    counts = [np.bincount(half.ravel(), minlength=_COLOURS) for half in np.split(found, 2)]
    shares = np.stack(counts, axis=1) / _SIDE**2
    used = shares.any(axis=1)
    centres, shares = _joined(np.asarray(centres, np.float64)[used], shares[used])
    shown = np.rint(cv2.cvtColor(centres.astype(np.float32)[None], cv2.COLOR_LAB2RGB)[0] * 255).astype(int)
    order = [i for i in np.argsort(-shares.min(axis=1), kind="stable") if shares[i].min() >= _LEAST_SHARE]
    return tuple(SharedColour(tuple(shown[i].tolist()), *shares[i].tolist()) for i in order)


def _lab(pixels: Pixels) -> NDArray[np.float32]:
    """The colours of a picture squeezed into a square `(64 · 64, 3)`, in CIELAB."""
    import cv2

    square = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(square, cv2.COLOR_RGB2LAB), np.float32).reshape(-1, 3)


def _joined(centres: Points, shares: Points) -> tuple[Points, Points]:
    """Colours `(n, 3)` and their shares of both pictures `(n, 2)`; the two nearest are joined while they are alike."""
    while len(centres) > 1:
        apart = np.linalg.norm(centres[:, None] - centres, axis=2) + np.diag(np.full(len(centres), np.inf))
        i, j = sorted(np.unravel_index(apart.argmin(), apart.shape))
        if apart[i, j] >= _ALIKE:
            break
        centres[i] = np.average(centres[[i, j]], axis=0, weights=shares[[i, j]].sum(axis=1))
        shares[i] += shares[j]
        centres, shares = np.delete(centres, j, axis=0), np.delete(shares, j, axis=0)
    return centres, shares


# -- opening ------------------------------------------------------------------------------------------------


def _converted(image: Image.Image) -> Pixels:
    try:
        return from_pillow(image)
    except (OSError, ValueError, AssertionError) as error:  # which of them depends on how far it was loaded
        raise UnreadableImage("a picture given as a Pillow image is closed or broken by now; keep it open") from error
