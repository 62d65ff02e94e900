"""Suspicious labels: images whose nearest neighbours mostly have another label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.curation.listed_images import ListedImage, list_images
from imrec_core.curation.neighbours import Report, iterate_neighbours, open_embedding
from imrec_core.errors import QueryError
from imrec_core.evaluation.labels import Labels
from imrec_core.index.generation import Generation, Rows
from imrec_core.lake.lake import Lake

_NEIGHBOURS = 10  # that vote
_SEARCHED = 30  # so that ten are left without copies and images without a label
_FEWEST = 3  # neighbours that can vote
_MAJORITY = 0.5  # of the votes, which the suggested label exceeds


@dataclass(frozen=True)
class LabelIssue(ListedImage):
    """An image whose neighbours mostly have another label.

    Attributes:
        label: Its label.
        suggested: The most common label among its neighbours.
        confidence: Share of its neighbours with the suggested label, above 0.5.
        agreement: Share of its neighbours with its own label.
    """

    label: str
    suggested: str
    confidence: float
    agreement: float


def find_label_issues(
    lake: Lake, generation: Generation, labels: Labels, *, by: str | None = None, report: Report | None = None
) -> list[LabelIssue]:
    """Find images whose 10 nearest neighbours mostly have another label, the surest first.

    Images with the same bytes do not vote for each other, and images without a label do not vote.

    Args:
        labels: Labels of the generation; see `evaluation.labels`.
        by: Feature of the embedding. Default: the first feature of the lake.
        report: Receives the progress; see `iterate_neighbours`.

    Raises:
        UnknownName: There is no such feature.
        QueryError: There are fewer than two images to compare.
    """
    embedding = open_embedding(generation, by)
    if len(embedding.rows) < 2:
        raise QueryError(f"{embedding.name}: {len(embedding.rows)} images can be compared; labels need two or more")
    contents = _contents(generation)
    searched = iterate_neighbours(embedding, _SEARCHED, report)
    parts = [_vote(rows, near, labels, contents) for rows, near, _ in searched]
    rows, suggested, confidence, agreement = (np.concatenate(part) for part in zip(*parts, strict=True))
    is_issue = (suggested != labels.groups[rows]) & (confidence > _MAJORITY)
    order = np.lexsort([rows, agreement, -confidence])
    order = order[is_issue[order]]
    return [
        LabelIssue(
            image.image_id,
            image.source,
            image.path,
            labels.names[labels.groups[rows[i]]],
            labels.names[suggested[i]],
            float(confidence[i]),
            float(agreement[i]),
        )
        for i, image in zip(order.tolist(), list_images(lake, generation, rows[order]), strict=True)
    ]


def _contents(generation: Generation) -> Rows:
    """Return a number per row `(rows,)`, equal for images with the same bytes."""
    column: pa.Array = generation.columns("content_hash")["content_hash"].combine_chunks()
    codes = column.dictionary_encode().indices.fill_null(-1)
    return np.asarray(codes.to_numpy(zero_copy_only=False), np.int64)


def _vote(
    rows: Rows, near: Rows, labels: Labels, contents: Rows
) -> tuple[Rows, Rows, NDArray[np.float64], NDArray[np.float64]]:
    """Count the labels of the neighbours of some images.

    Args:
        near: Rows of the neighbours `(n, count)`, nearest first.

    Returns:
        The labelled rows with enough votes, the most common label among the first voters of each (with ties, that of
        the nearest), its share, and the share of the own label.
    """
    groups = labels.groups[near]
    can_vote = (groups >= 0) & (contents[near] != contents[rows][:, None])
    can_vote &= np.cumsum(can_vote, axis=1) <= _NEIGHBOURS
    voters = can_vote.sum(axis=1)
    kept = (labels.groups[rows] >= 0) & (voters >= _FEWEST)
    rows, groups, can_vote, voters = rows[kept], groups[kept], can_vote[kept], voters[kept]
    # Votes for the label of each neighbour: the number of voters with the same label.
    votes = ((groups[:, :, None] == groups[:, None, :]) & can_vote[:, None, :]).sum(axis=2)
    best = np.argmax(np.where(can_vote, votes, -1), axis=1)
    every = np.arange(len(rows))
    own = ((groups == labels.groups[rows][:, None]) & can_vote).sum(axis=1)
    return rows, groups[every, best], votes[every, best] / voters, own / voters
