"""Random and diverse samples."""

from __future__ import annotations

import json

import numpy as np
import pytest

from imrec_core.curation.sample import draw_sample, k_center
from imrec_core.errors import QueryError
from imrec_core.index.build import build_generation
from tests.support import toy


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Histograms of 500 images: 490 in one cluster, ten alone."""
    rng = np.random.default_rng(1)
    histograms = np.abs(rng.dirichlet(np.ones(512) * 0.2) + 0.0003 * rng.standard_normal((500, 512)))
    histograms[50::50] = rng.dirichlet(np.ones(512) * 0.2, 9)
    histograms /= histograms.sum(axis=1, keepdims=True)
    made = toy.vector_lake(
        tmp_path_factory.mktemp("sampled") / "lake", {"rgb_histogram": histograms.astype(np.float32)}
    )
    build_generation(made)
    return made


def numbers(sample) -> list[int]:
    return [int(image.path[-10:-4]) for image in sample.images]


def plain_k_center(points, count):
    chosen = [int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))]
    while len(chosen) < count:
        to_chosen = np.linalg.norm(points[:, None] - points[chosen][None], axis=2).min(axis=1)
        chosen.append(int(np.argmax(to_chosen)))
    return chosen, np.linalg.norm(points[:, None] - points[chosen][None], axis=2).min(axis=1).max()


def test_k_center_is_that_of_plain_numpy():
    points = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    chosen, radius = k_center(points, 25)
    expected, expected_radius = plain_k_center(points, 25)
    assert chosen.tolist() == expected
    assert radius == pytest.approx(expected_radius, rel=1e-4)


def test_copies_are_chosen_last_and_none_twice():
    points = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)
    chosen, radius = k_center(points, 12)
    assert sorted(chosen.tolist()) == list(range(12))
    assert {i // 3 for i in chosen[:4].tolist()} == {0, 1, 2, 3}
    assert radius == 0
    assert len(k_center(points, 50)[0]) == 12


def test_diverse_sample_has_the_images_that_stand_alone_and_its_beginning_is_one(lake):
    found = draw_sample(lake, 12, diverse=True)
    assert set(range(50, 500, 50)) <= set(numbers(found))
    assert numbers(draw_sample(lake, 5, diverse=True)) == numbers(found)[:5]
    assert draw_sample(lake, 5, diverse=True).radius > found.radius


def test_random_sample_depends_on_its_seed_only(lake):
    first = draw_sample(lake, 20)
    assert numbers(draw_sample(lake, 20)) == numbers(first)
    assert numbers(draw_sample(lake, 20, seed=1)) != numbers(first)
    assert len(set(numbers(first))) == 20
    assert first.radius is None


def test_condition_limits_what_is_drawn_from(lake):
    for diverse in (False, True):
        found = draw_sample(lake, 40, diverse=diverse, where="row % 20 = 0")
        assert sorted(numbers(found)) == list(range(0, 500, 20))
    with pytest.raises(QueryError, match="none satisfies 'row < 0'"):
        draw_sample(lake, 3, where="row < 0")


def test_command_prints_ids_and_refuses_options_without_effect(lake, imrec):
    found = imrec("sample", "3", "--diverse", "--json", "--lake", str(lake.root))
    assert [one["image_id"] for one in json.loads(found.out)] == [
        one.image_id for one in draw_sample(lake, 3, diverse=True).images
    ]
    assert "within" in found.err
    assert imrec("sample", "3", "--lake", str(lake.root)).out.count(".jpg") == 3
    assert imrec("sample", "3", "--diverse", "--seed", "1", "--lake", str(lake.root)).status == 2
    assert imrec("sample", "3", "--by", "rgb_histogram", "--lake", str(lake.root)).status == 2
    assert imrec("sample", "0", "--lake", str(lake.root)).status == 2
