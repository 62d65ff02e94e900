"""Issues of a lake with planted faults, from Python, the command line and SQL."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from imrec_core import Lake, find_issues
from imrec_core.curation.issues import ISSUES, stored_issues
from imrec_core.errors import QueryError, UnknownName
from imrec_core.index.opening import open_generation
from imrec_core.sql.views import query, translate_errors
from tests.support import toy
from tests.support.pictures import encode

PLANTED = {"near_black", "dark", "overexposed", "plain", "blurred", "grey", "odd_size", "odd_shape", "failed"}


def draw_faults() -> dict[str, np.ndarray]:
    sharp = toy.photo(5, 320, 240, specks=200)
    soft = Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(8))
    luma = np.asarray(Image.fromarray(sharp).convert("L"))
    return {
        "near_black": (sharp * 0.02).astype(np.uint8),
        "dark": (sharp * 0.15).astype(np.uint8),
        "overexposed": (255 - (255 - sharp.astype(float)) * 0.1).astype(np.uint8),
        "plain": np.full((120, 160, 3), (40, 90, 200), np.uint8),
        "blurred": np.asarray(soft),
        "grey": np.repeat(luma[..., None], 3, axis=2),
        "odd_size": toy.photo(6, 16, 12, specks=0),
        "odd_shape": np.ascontiguousarray(toy.photo(7, 640, 480, specks=400)[:60]),
    }


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> Lake:
    """Thirty sharp photos, and one of each fault, named by it."""
    root = tmp_path_factory.mktemp("faulty")
    toy.write_photos(root / "photos", [seed for seed in range(40) if seed % 4 != 2], specks=60)
    for name, pixels in draw_faults().items():
        (root / "photos" / f"{name}.png").write_bytes(encode(pixels, "PNG"))
    (root / "photos" / "failed.jpg").write_bytes(b"not an image")
    lake = toy.new_lake(root / "lake")
    toy.build(lake)
    return lake


def test_each_planted_fault_is_found_and_few_others(faulty):
    report = find_issues(faulty)
    assert set(report.counts) == set(ISSUES)
    for name in PLANTED:
        assert name in {Path(finding.path).stem for finding in report.findings(name)}, name
    photos = {f.path for f in report.findings() if Path(f.path).stem.startswith("photo_") and f.issue != "outlier"}
    assert not photos


def test_the_worst_comes_first_and_severities_are_in_range(faulty):
    report = find_issues(faulty)
    assert [Path(f.path).stem for f in report.findings("dark", most=2)] == ["near_black", "dark"]
    for name in report.counts:
        severities = [finding.severity for finding in report.findings(name)]
        assert severities == sorted(severities, reverse=True)
        assert all(0 < severity <= 1 for severity in severities)


def test_nothing_is_decoded(faulty, monkeypatch):
    monkeypatch.setattr("PIL.Image.open", None)
    monkeypatch.setattr("imrec_core.images.decode.decode_file", None)
    assert find_issues(faulty, outliers=False).counts["plain"] >= 1


def test_condition_chooses_the_images_and_keeps_the_limits(faulty):
    everything, some = find_issues(faulty), find_issues(faulty, where="width > 200")
    assert some.limits == everything.limits
    assert {Path(f.path).stem for f in some.findings("dark")} == {"near_black", "dark"}
    assert some.counts["odd_size"] == some.counts["failed"] == 0
    with pytest.raises(QueryError, match="widht"):
        find_issues(faulty, where="widht > 200")


def test_unknown_issue_suggests_a_name(faulty):
    with pytest.raises(UnknownName, match="did you mean 'blurred'"):
        find_issues(faulty).findings("blured")


def test_result_is_stored_until_the_next_generation(faulty, monkeypatch):
    first = find_issues(faulty)
    monkeypatch.setattr("imrec_core.curation.issues.measure", None)
    monkeypatch.setattr("imrec_core.curation.issues.neighbour_distances", None)
    assert find_issues(faulty).table == first.table
    assert stored_issues(faulty, open_generation(faulty)).table == first.table


def test_limits_can_be_given_and_are_not_stored(faulty, imrec):
    usual = find_issues(faulty)
    strict = find_issues(faulty, limits={"dark": 10.0})
    assert strict.counts["dark"] == strict.images and strict.limits["dark"] == 10
    assert find_issues(faulty).table == usual.table
    for wrong in ({"grey": 1.0}, {"dark": -1.0}, {"dark": float("nan")}):
        with pytest.raises(QueryError, match="limit"):
            find_issues(faulty, limits=wrong)
    with pytest.raises(UnknownName, match="did you mean 'dark'"):
        find_issues(faulty, limits={"dar": 1.0})
    given = imrec("issues", "--limit", "dark=0.09", "--json", "--lake", str(faulty.root))
    assert next(one for one in json.loads(given.out)["issues"] if one["issue"] == "dark")["images"] == 1
    assert imrec("issues", "--limit", "dark", "--lake", str(faulty.root)).status == 2


def test_outliers_by_another_feature_are_not_stored(faulty):
    first = find_issues(faulty)
    find_issues(faulty, by="phash")
    assert stored_issues(faulty, open_generation(faulty)).table == first.table


def test_damaged_store_is_found_again(faulty):
    first = find_issues(faulty)
    path = faulty.layout.issues_path
    path.write_bytes(path.read_bytes()[:100])
    assert find_issues(faulty).table == first.table


def test_view_of_sql_has_the_issues_and_says_when_they_are_not_known(faulty):
    find_issues(faulty)
    found = query(
        faulty,
        "SELECT path FROM issues JOIN rows USING (image_id) WHERE issue = 'plain' ORDER BY severity DESC LIMIT 1",
    ).fetchall()
    assert found == [("plain.png",)]
    faulty.layout.issues_path.unlink()
    with pytest.raises(QueryError, match=r"not known yet; run: imrec issues$"), translate_errors():
        query(faulty, "SELECT * FROM issues").fetchall()
    assert query(faulty, "SELECT count(*) FROM rows").fetchall()[0][0] > 0


def test_command_counts_lists_and_draws(faulty, imrec, tmp_path):
    counted = imrec("issues", "--lake", str(faulty.root))
    assert counted.status == 0
    assert any(line.split()[:2] == ["odd_shape", "1"] for line in counted.out.splitlines())
    listed = imrec("issues", "--issue", "grey", "--json", "--lake", str(faulty.root))
    assert [Path(f["path"]).name for f in json.loads(listed.out)["findings"]] == ["grey.png"]
    sheet = tmp_path / "sheet.png"
    table = imrec("issues", "--issue", "dark", "-n", "1", "--gallery", str(sheet), "--lake", str(faulty.root))
    assert "near_black.png" in table.out
    assert "more; list them with -n" in table.err
    with Image.open(sheet) as drawn:
        assert drawn.width > 200
    lines = imrec("issues", "--csv", "--lake", str(faulty.root)).out.splitlines()
    assert lines[0] == "issue,image_id,source,path,severity,value"
    assert imrec("issues", "--csv", "--json", "--lake", str(faulty.root)).status == 2
    assert imrec("issues", "--gallery", str(tmp_path / "x.bad"), "--lake", str(faulty.root)).status == 2
