"""False match rates in words."""

from __future__ import annotations

import numpy as np
import pytest

from imrec_core.search.feature_weights import resolve_features
from imrec_core.search.likeness import likeness
from imrec_core.search.match_threshold import false_match_rates


@pytest.mark.parametrize(
    ("rate", "word"),
    [(0, "same image"), (0.9e-7, "same image"), (2e-7, "very close"), (0.9e-5, "very close"), (2e-5, "close"),
     (0.9e-3, "close"), (2e-3, "related"), (0.9e-2, "related"), (0.02, "weak"), (1, "weak")],
)  # fmt: skip
def test_word_follows_the_false_match_rate(rate, word):
    assert likeness(rate) == word


def test_hits_have_words_that_fall_with_their_scores(recommender, photos):
    hits = recommender.search(photos / "photo_003.jpg", by="efficientnet_lite0", k=40)
    words = ["weak", "related", "close", "very close", "same image"]
    places = [words.index(hit.likeness) for hit in hits]
    assert places == sorted(places, reverse=True)
    rates = [hit.parts["efficientnet_lite0"].false_match_rate for hit in hits]
    assert [hit.likeness for hit in hits] == [likeness(rate) for rate in rates]
    assert hits.to_polars()["likeness"].to_list() == [hit.likeness for hit in hits]
    assert hits.to_dicts()[0]["likeness"] == hits[0].likeness


def test_vector_of_a_row_is_the_same_image(recommender):
    generation = recommender.generation
    vector = np.array(generation.matrix("efficientnet_lite0")[3])
    hits = recommender.search(vector, by="efficientnet_lite0", k=1)
    assert hits[0].likeness == "same image" and hits[0].image_id == generation.rows["image_id"][3].as_py()


def test_word_of_several_features_is_by_all_together(recommender, photos):
    by = {"efficientnet_lite0": 2, "rgb_histogram": 1}
    hits = recommender.search(photos / "photo_003.jpg", by=by, k=30)
    context = recommender._context
    features = resolve_features(recommender.generation, context.encoder.settings, by, [])
    distances = [np.array([hit.parts[f.name].distance for hit in hits], np.float32) for f in features]
    rates = false_match_rates(context.calibrations, features, distances)
    assert [hit.likeness for hit in hits] == [likeness(rate) for rate in rates]


def test_text_query_has_no_words(recommender):
    from imrec_core.search.result import _likenesses

    class Ranked:
        rows = np.arange(3)

    class Request:
        has_text = True

    assert _likenesses(recommender._context.calibrations, Request(), Ranked()) == ["", "", ""]
