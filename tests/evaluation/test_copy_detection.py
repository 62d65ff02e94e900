"""Copy detection: scores are those of plain loops over the same files."""

from __future__ import annotations

import json
import shutil
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from imrec_core import Recommender
from imrec_core.errors import BadWeights, QueryError, UnknownName
from imrec_core.evaluation import copy_detection
from imrec_core.evaluation.copy_detection import ALL, evaluate_copy_detection
from imrec_core.evaluation.rankers import MIX, default_mix, resolve_rankers, sample
from imrec_core.features import FEATURES
from imrec_core.features.metrics import METRICS
from imrec_core.images.batch import ImageBatch
from imrec_core.images.edits import COPY_PROTOCOL, EDITS
from imrec_core.index.calibration import SHOWN_RATES
from imrec_core.index.opening import open_generation
from tests.support import toy

FEW = {name: COPY_PROTOCOL[name] for name in ("jpeg10", "crop50", "mirrored", "brighter")}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("copies")
    toy.write_photos(root / "photos", range(24))
    shutil.copy(root / "photos/photo_003.jpg", root / "photos/photo_003_again.jpg")
    made = toy.new_lake(root / "lake", ("rgb_histogram", "phash"))
    toy.build(made)
    return made


def described(lake, name):
    """Vectors of the images of the lake and of their copies by edit, computed without files of the lake."""
    paths = [lake.root.parent / "photos" / path for path in open_generation(lake).rows["path"].to_pylist()]
    pictures = [Image.open(path).convert("RGB") for path in paths]
    feature = FEATURES[name]
    gallery = feature(ImageBatch([np.asarray(picture) for picture in pictures]))
    made = {}
    for edit, change in FEW.items():
        opened = [Image.open(BytesIO(change(picture))).convert("RGB") for picture in pictures]
        made[edit] = feature(ImageBatch([np.asarray(picture) for picture in opened]))
    return paths, gallery, made


def plain(lake, distances_of, paths):
    """Recall@1 by edit from distances `(copies, rows)`; ties are equally likely to be first."""
    found = {}
    twins = {"photo_003.jpg", "photo_003_again.jpg"}
    for edit in FEW:
        shares = []
        for row, distances in enumerate(distances_of(edit)):
            first = np.flatnonzero(distances == distances.min())
            mine = [r for r in first if r == row or {paths[r].name, paths[row].name} == twins]
            shares.append(len(mine) / len(first))
        found[edit] = np.mean(shares)
    return found


def test_scores_are_those_of_plain_loops(lake, monkeypatch):
    monkeypatch.setattr("imrec_core.evaluation.rankers._DISTANCES", 60)  # two copies at a time
    generation = open_generation(lake)
    found = evaluate_copy_detection(lake, generation, edits=FEW)
    assert [(f.by, f.edit) for f in found] == [
        (by, edit) for by in ("rgb_histogram", "phash", MIX) for edit in (*FEW, ALL)
    ]
    of_each = {(f.by, f.edit): f for f in found}
    scores = {}
    for name, metric in (("rgb_histogram", "hellinger"), ("phash", "hamming")):
        paths, gallery, made = described(lake, name)
        away = {edit: np.array([METRICS[metric](v, gallery) for v in made[edit]]) for edit in FEW}
        scores[name] = {edit: generation.calibration(name, metric).score(away[edit]) for edit in FEW}
        for edit, expected in plain(lake, away.__getitem__, paths).items():
            assert of_each[name, edit].recall_at_1.value == pytest.approx(expected, abs=0.011), (name, edit)
    fused = plain(lake, lambda edit: -0.5 * (scores["rgb_histogram"][edit] + scores["phash"][edit]), paths)
    for edit, expected in fused.items():
        assert of_each[MIX, edit].recall_at_1.value == pytest.approx(expected, abs=0.011), edit
    values = [f.recall_at_1.value for f in found if f.edit != ALL]
    assert min(values) < 0.5 and max(values) == 1


def test_copies_within_a_threshold_are_those_that_a_search_finds(lake):
    recommender = Recommender.open(lake)
    generation = recommender.generation
    mix = {"phash": 3.0, "rgb_histogram": 1.0}
    found = evaluate_copy_detection(lake, generation, edits=FEW, photos=5, mixes={"both": mix})
    rows = sample(np.arange(len(generation)), 5)
    kept = {}
    for row in rows.tolist():
        path, image_id = (generation.rows[name][row].as_py() for name in ("path", "image_id"))
        picture = Image.open(lake.root.parent / "photos" / path).convert("RGB")
        for edit, change in FEW.items():
            for name, by in (("phash", "phash"), ("rgb_histogram", "rgb_histogram"), ("both", mix)):
                for rate in SHOWN_RATES:
                    hits = recommender.search(change(picture), k=24, by=by, exact=True, max_false_match_rate=rate)
                    is_kept = image_id in [hit.image_id for hit in hits]
                    kept.setdefault((name, edit, rate), []).append(is_kept)
                    kept.setdefault((name, ALL, rate), []).append(is_kept)
    expected = {of: np.mean(values) for of, values in kept.items()}
    assert {(f.by, f.edit, rate): share for f in found for rate, share in f.kept.items()} == pytest.approx(expected)
    assert {0, 1} < set(expected.values())


def test_all_edits_together_are_averaged_per_image(lake):
    found = {
        f.edit: f for f in evaluate_copy_detection(lake, open_generation(lake), by=["phash"], edits=FEW, photos=10)
    }
    assert set(found) == {*FEW, ALL}  # one feature makes no mix
    mean = np.mean([found[edit].mean_average_precision.value for edit in FEW])
    assert found[ALL].mean_average_precision.value == pytest.approx(mean)
    assert {f.recall_at_1.n for f in found.values()} == {10}
    assert found["jpeg10"].mean_average_precision.value >= found["jpeg10"].recall_at_1.value


def test_rotation_invariant_metric_gets_rotated_queries(lake):
    both = evaluate_copy_detection(
        lake, open_generation(lake), by=["phash", "phash:hamming_dihedral"], edits=FEW, mixes={}
    )
    mirrored = {f.by: f.recall_at_1.value for f in both if f.edit == "mirrored"}
    assert mirrored["phash"] < 0.3 and mirrored["phash:hamming_dihedral"] > 0.8


def test_rotated_queries_come_from_the_image_not_from_its_hash(lake):
    """The hash of a rotated image only nearly equals the rotated hash of the image."""
    generation = open_generation(lake)
    ways = resolve_rankers(generation, ["phash:hamming_dihedral"])
    (made,) = copy_detection.make_sample_copies(lake, generation, ways, photos=1, edits={"png": EDITS["png"]})
    path = lake.root.parent / "photos" / generation.rows["path"][made.row].as_py()
    pixels = np.asarray(Image.open(BytesIO(EDITS["png"](Image.open(path)))))
    expected = FEATURES["phash"].orientations(ImageBatch([pixels]))[0]
    assert made.vectors["phash:hamming_dihedral"][0].tolist() == expected.tolist()
    stored = FEATURES["phash"](ImageBatch([pixels]))[0]
    assert expected.tolist() != FEATURES["phash"].as_query(stored, METRICS["hamming_dihedral"]).tolist()


def test_weights_of_the_mix_are_used(lake):
    generation = open_generation(lake)

    def recall(mix):
        found = evaluate_copy_detection(lake, generation, edits=FEW, mixes={MIX: mix})
        return {f.by: f.mean_average_precision.value for f in found if f.edit == "brighter"}

    leaning = recall({"rgb_histogram": 1.0, "phash": 1e-9})
    assert leaning[MIX] == pytest.approx(leaning["rgb_histogram"], abs=0.05)
    assert recall({"rgb_histogram": 1e-9, "phash": 1.0})[MIX] == pytest.approx(leaning["phash"], abs=0.05)
    assert leaning["rgb_histogram"] < leaning["phash"] - 0.2
    with pytest.raises(BadWeights):
        recall({"phash": -1.0})
    with pytest.raises(UnknownName):
        recall({"phish": 1.0})


def test_a_projection_of_a_feature_counts_once_in_the_mix(toy_lake):
    mix = default_mix(resolve_rankers(open_generation(toy_lake), ()))
    assert {"efficientnet_lite0", "sift_vlad", "phash"} < set(mix)
    alone = default_mix(resolve_rankers(open_generation(toy_lake), ["efficientnet_lite0", "phash"]))
    assert alone == {"efficientnet_lite0": 1.0, "phash": 1.0}


def test_copy_without_edits_has_the_stored_vector(toy_lake):
    """For networks, projections and fitted features."""
    generation = open_generation(toy_lake)
    ways = resolve_rankers(generation, ["efficientnet_lite0", "sift_vlad", "rgb_histogram"])
    photos = 0
    for made in copy_detection.make_sample_copies(toy_lake, generation, ways, photos=12, edits={"png": EDITS["png"]}):
        photos += generation.rows["path"][made.row].as_py().startswith("photo_")
        for name, vectors in made.vectors.items():
            stored = np.asarray(generation.matrix(name)[made.row], np.float64)
            cosine = stored @ vectors[0] / max(np.linalg.norm(stored) * np.linalg.norm(vectors[0]), 1e-12)
            assert cosine > 0.99 or not stored.any(), (name, made.row)
    assert photos > 3


def test_missing_images_are_skipped_and_no_image_left_is_an_error(new_lake, caplog):
    lake = new_lake(4, ("phash",))
    photos = lake.settings().sources["photos"]
    (photos / "photo_002.jpg").unlink()
    found = evaluate_copy_detection(lake, open_generation(lake), edits=FEW)
    assert found[-1].recall_at_1.n == 3
    assert caplog.messages == ["image skipped: photos/photo_002.jpg: cannot read the file: No such file or directory"]
    toy.set_to(lake, sources={})
    with pytest.raises(QueryError, match="none of 4 images can be read"):
        evaluate_copy_detection(lake, open_generation(lake), edits=FEW)


def test_command_prints_tables_and_json(imrec, lake, monkeypatch):
    monkeypatch.setattr(
        copy_detection.evaluate_copy_detection,
        "__kwdefaults__",
        {**evaluate_copy_detection.__kwdefaults__, "edits": FEW},
    )
    said = imrec("evaluate", "--copies", "--queries", 6, "--lake", lake.root)
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["rgb_histogram", "phash", "mix"]
    assert lines[4] == "copies of 6 images, with bootstrap intervals of 95 % over images"
    assert lines[6].split() == ["R@1", "rgb_histogram", "phash", "mix"]
    assert [line.split()[0] for line in lines[7:12]] == [*FEW, ALL]
    assert [line.split() for line in lines[-5:-4]] == [["max_false_match_rate", "0.1", "0.01", "0.001"]]
    assert [line.split()[0] for line in lines[-4:-1]] == ["rgb_histogram", "phash", "mix"]
    assert lines[-1] == "share of the copies that pass this threshold, over all edits"
    assert "0 of 6 images edited in 4 ways" in said.err
    asked = ("--copies", "--by", "phash", "--queries", 6, "--json", "--lake", lake.root)
    told = json.loads(imrec("evaluate", *asked).out)
    assert [(row["by"], row["edit"]) for row in told] == [("phash", edit) for edit in (*FEW, ALL)]
    assert told[0]["recall_at_1"]["n"] == 6 and list(told[0]["kept"]) == ["0.1", "0.01", "0.001"]
    assert lines[-3].split()[1:] == [f"{share:.3f}" for share in told[-1]["kept"].values()]
    assert imrec("evaluate", "--copies", "--naming", "ukbench", "--lake", lake.root).status == 2
    assert imrec("evaluate", "--copies", "--plot", "a.png", "--lake", lake.root).status == 2
