"""Which images of a sample show one scene: copies, frames of a video, bursts.

Images are linked if their content vectors are very similar, or else their hashes, or if their content is identical. A
scene is a connected component of these links, since the first and the last frame of a scene may differ more than two
frames in a row. Two of its images count as one scene if they are also similar themselves: classes of similar images are
sometimes linked by a chain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.features import Feature
from imrec_core.index.generation import Generation, Rows

# Similarities of content vectors. All pairs of 118 frames, shifted by up to 15 % and up to 20 % brighter, are taken for
# one scene, and 0.04 % of the pairs of 1,066 photos in 25 classes (`make bench ARGS=cut`).
_LINKED, _SIMILAR = 0.92, 0.60
_LINKED_BITS, _SIMILAR_BITS = 8, 16  # of 64-bit hashes


@dataclass(frozen=True)
class Scenes:
    """The scenes of a sample of images.

    Attributes:
        rows: Rows of the images, ascending `(n,)`.
        numbers: Number of the scene of each `(n,)`.
        is_similar: Which two images are similar `(n, n)`.
    """

    rows: Rows
    numbers: NDArray[np.int32]
    is_similar: NDArray[np.bool_]

    @classmethod
    def of(cls, generation: Generation, rows: Rows) -> Scenes:
        """Find the scenes of some rows of a generation."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        rows = np.sort(rows)
        content = np.unique(generation.row_table.values(rows, "content_hash")["content_hash"], return_inverse=True)[1]
        is_linked = is_similar = content[:, None] == content
        if nearness := _nearness(generation, rows):
            is_linked, is_similar = is_linked | nearness[0], is_similar | nearness[1]
        return cls(rows, connected_components(csr_array(is_linked), directed=False)[1], is_similar)

    def are_shared(self, queries: Rows, others: Rows) -> NDArray[np.bool_]:
        """Return which pairs of rows of the sample show one scene `(queries, others)`."""
        first, second = np.searchsorted(self.rows, queries), np.searchsorted(self.rows, others)
        return np.asarray((self.numbers[first, None] == self.numbers[second]) & self.is_similar[np.ix_(first, second)])

    @property
    def share_repeated(self) -> float:
        """Share of the images whose scene has another image of the sample."""
        return float((np.bincount(self.numbers)[self.numbers] > 1).mean()) if len(self.rows) else 0.0


def _nearness(generation: Generation, rows: Rows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Return which rows are linked and which are similar `(n, n)`; None without a feature that tells."""
    features = [generation.feature(name) for name in generation.features]
    content = next((feature for feature in features if _is_content(feature)), None)
    if content is not None:
        vectors = np.asarray(generation.matrix(content.name)[rows], np.float32)
        similarity = vectors @ vectors.T
        return similarity >= _LINKED, similarity >= _SIMILAR
    hashes = next((f for f in features if f.name in ("phash", "dhash")), None)
    if hashes is None:
        return None
    words = generation.matrix(hashes.name)[rows, 0]
    bits = np.bitwise_count(words[:, None] ^ words)
    return bits <= _LINKED_BITS, bits <= _SIMILAR_BITS


def _is_content(feature: Feature) -> bool:
    return feature.averaged is None and feature.params.get("method") == "content_pca"
