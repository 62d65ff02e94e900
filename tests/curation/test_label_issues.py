"""Suspicious labels by the neighbours of an image."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from imrec_core.curation.label_issues import _vote, find_label_issues
from imrec_core.errors import UnknownName
from imrec_core.evaluation.labels import Labels, column_labels, folder_labels
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from tests.support import toy

WRONG = (7, 31, 58)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Ninety histograms of three kinds, in a folder of each kind but three that are in another.

    The column `kind` has the right one, except for image 12.
    """
    rng = np.random.default_rng(2)
    centres = rng.dirichlet(np.ones(512) * 0.2, 3)
    kinds = np.arange(90) % 3
    histograms = np.abs(centres[kinds] + 0.0005 * rng.standard_normal((90, 512)))
    histograms /= histograms.sum(axis=1, keepdims=True)
    folders = [(kind + (i in WRONG)) % 3 for i, kind in enumerate(kinds.tolist())]
    names = [f"{'abc'[folder]}/{i:03d}.jpg" for i, folder in enumerate(folders)]
    root = tmp_path_factory.mktemp("labelled")
    made = toy.vector_lake(root / "lake", {"rgb_histogram": histograms.astype(np.float32)}, names=names)
    own = root / "own.csv"
    kind = ["b" if i == 12 else "abc"[i % 3] for i in range(90)]
    own.write_text("path,kind\n" + "".join(f"{name},{value}\n" for name, value in zip(names, kind, strict=True)))
    toy.set_to(made, columns=(str(own),))
    build_generation(made)
    return made


def test_images_in_the_wrong_folder_are_found_with_the_right_one(lake):
    generation = open_generation(lake)
    found = find_label_issues(lake, generation, folder_labels(generation))
    assert {int(one.path[-7:-4]): one.suggested for one in found} == {i: "abc"[i % 3] for i in WRONG}
    assert all(one.confidence > 0.8 and one.agreement < 0.2 and one.label != one.suggested for one in found)


def test_copies_and_images_without_a_label_do_not_vote():
    groups = np.array([0, 0, 0, 1, 1, 1, -1, -1])
    labels = Labels(groups, np.arange(6), names=("a", "b"))
    contents = np.array([5, 5, 5, 6, 7, 8, 9, 10])
    near = np.array([[1, 2, 6, 7, 3, 4, 5]])
    rows, suggested, confidence, agreement = _vote(np.array([0]), near, labels, contents)
    assert (rows.tolist(), suggested.tolist(), confidence.tolist(), agreement.tolist()) == ([0], [1], [1.0], [0.0])
    few = _vote(np.array([0]), near[:, :6], labels, contents)
    assert len(few[0]) == 0
    unlabelled = _vote(np.array([6]), np.array([[0, 1, 2, 3]]), labels, contents)
    assert len(unlabelled[0]) == 0


def test_column_of_the_rows_can_be_the_label(lake):
    generation = open_generation(lake)
    found = find_label_issues(lake, generation, column_labels(generation, "kind"))
    assert [(int(one.path[-7:-4]), one.label, one.suggested) for one in found] == [(12, "b", "a")]
    with pytest.raises(UnknownName, match="did you mean 'kind'"):
        column_labels(generation, "kinds")


def test_command_reads_folders_or_a_file_and_refuses_both(lake, imrec, tmp_path):
    found = imrec("label-issues", "--json", "--lake", str(lake.root))
    assert len(json.loads(found.out)) == len(WRONG)
    assert "suggested" in imrec("label-issues", "--lake", str(lake.root)).out
    right = tmp_path / "right.csv"
    paths = open_generation(lake).columns("path")["path"].to_pylist()
    with right.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((path, "abc"[int(path[2:5]) % 3]) for path in paths)])
    assert imrec("label-issues", "--labels", str(right), "--lake", str(lake.root)).out.strip() == "none"
    both = imrec("label-issues", "--labels", str(right), "--column", "path", "--lake", str(lake.root))
    assert both.status == 2
