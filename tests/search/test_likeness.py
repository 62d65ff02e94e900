"""Scores in words."""

from __future__ import annotations

import numpy as np
import pytest

from imrec_core.index.calibration import score_of
from imrec_core.search.likeness import likeness


@pytest.mark.parametrize(
    ("rate", "word"),
    [(0, "same image"), (0.9e-7, "same image"), (2e-7, "very close"), (0.9e-5, "very close"), (2e-5, "close"),
     (0.9e-3, "close"), (2e-3, "related"), (0.9e-2, "related"), (0.02, "weak"), (1, "weak")],
)  # fmt: skip
def test_word_follows_the_false_match_rate(rate, word):
    assert likeness(score_of(rate)) == word


def test_hits_have_words_that_fall_with_their_scores(recommender, photos):
    hits = recommender.search(photos / "photo_003.jpg", by="efficientnet_lite0", k=40)
    words = ["weak", "related", "close", "very close", "same image"]
    places = [words.index(hit.likeness) for hit in hits]
    assert places == sorted(places, reverse=True) and [hit.likeness for hit in hits] == [
        likeness(h.score) for h in hits
    ]
    assert hits.to_polars()["likeness"].to_list() == [hit.likeness for hit in hits]
    assert hits.to_dicts()[0]["likeness"] == hits[0].likeness


def test_vector_of_a_row_is_the_same_image(recommender):
    generation = recommender.generation
    vector = np.array(generation.matrix("efficientnet_lite0")[3])
    hits = recommender.search(vector, by="efficientnet_lite0", k=1)
    assert hits[0].likeness == "same image" and hits[0].image_id == generation.rows["image_id"][3].as_py()
