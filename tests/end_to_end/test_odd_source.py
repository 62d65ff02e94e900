"""A source full of odd entries is built, and every one of them is accounted for."""

import json
import os
import socket
from pathlib import Path

import pytest

from tests.support import toy


@pytest.fixture
def photos(tmp_path: Path, monkeypatch) -> Path:
    root = tmp_path / "photos"
    toy.write_photos(root, range(3))
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket.jpg")
    monkeypatch.chdir(tmp_path)
    os.mkfifo(root / "fifo.jpg")
    (root / "to_fifo.jpg").symlink_to(root / "fifo.jpg")
    (root / "zero.jpg").symlink_to("/dev/zero")
    (root / "null.jpg").symlink_to("/dev/null")
    (root / "gone.jpg").symlink_to("nowhere.jpg")
    (root / "loop.jpg").symlink_to("loop.jpg")
    (root / "loop").symlink_to("loop")
    (root / "folder.jpg").mkdir()
    Path(os.fsdecode(os.path.join(os.fsencode(root), b"caf\xe9.jpg"))).write_bytes(b"x")
    for name in ("a.psd", "b.mp4", "none", "._photo.jpg", "@eaDir/thumb.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_build_accounts_for_every_entry(imrec, photos):
    built = imrec("build", photos, "--features", "ahash")
    assert built.status == 0, built.err
    assert "3 extracted, 8 failed (see: imrec failures)" in built.out
    assert "folders and other entries that cannot be read: 1 (see: imrec failures)" in built.out
    named = "3 files of 3 kinds not read: 1 psd (export it as PNG or JPEG), 1 without suffix (to read them: "
    assert named in built.out
    listed = imrec("failures", "--json")
    failed = {row["path"]: row["error"] for row in json.loads(listed.out)}
    assert failed.pop("loop") == "BadSource: cannot follow the link: Too many levels of symbolic links"
    assert failed == {
        r"caf\xe9.jpg": r"UnreadableImage: the file name is not valid UTF-8: caf\xe9.jpg; rename the file",
        "gone.jpg": "UnreadableImage: cannot read the file: No such file or directory",
        "loop.jpg": "UnreadableImage: cannot read the file: Too many levels of symbolic links",
        **dict.fromkeys(
            ("fifo.jpg", "to_fifo.jpg", "zero.jpg", "null.jpg"),
            "UnreadableImage: cannot read the file: it is not a regular file",
        ),
        "socket.jpg": "UnreadableImage: cannot read the file: it is not a regular file",
    }
    assert named in listed.err
    status = imrec("status")
    assert named in status.out and "folders and other entries that cannot be read: 1 (imrec failures)" in status.out


def test_images_that_become_excluded_are_counted_in_words(imrec, photos):
    assert imrec("build", photos, "--features", "ahash").status == 0
    settings = Path("data_lake/lake.toml")
    settings.write_text('exclude = ["photo_00[01].jpg"]\n' + settings.read_text())
    built = imrec("build")
    assert "2 removed" in built.out
    assert "2 of the removed images are left out now (exclude or limit in lake.toml)" in built.out


def test_verification_says_what_it_reads_and_decodes_what_has_changed(imrec, tmp_path):
    toy.write_photos(tmp_path / "photos", range(3))
    assert imrec("build", tmp_path / "photos", "--features", "ahash").status == 0
    verified = imrec("build", "--verify")
    assert "0 changed, 0 removed, 3 unchanged images\n3 unchanged images read again to compare" in verified.out
    assert "0 decoded" in verified.out
    path = tmp_path / "photos/photo_001.jpg"
    status = path.stat()
    path.write_bytes(path.read_bytes()[:-2] + b"\0\0")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    built = imrec("build", "--verify")
    assert "1 changed, 0 removed, 2 unchanged images\n2 unchanged images read again to compare" in built.out
    assert "1 decoded" in built.out
    assert "read again" not in imrec("build").out


def test_limit_counts_for_later_builds_until_it_is_lifted(imrec, tmp_path):
    toy.write_photos(tmp_path / "photos", range(5))
    built = imrec("build", tmp_path / "photos", "--features", "ahash", "--limit", 2)
    assert "2 new, 0 changed, 0 removed, 0 unchanged images" in built.out
    beyond = "3 images beyond the limit (limit in lake.toml; for all: imrec build --limit 0)"
    assert beyond in built.out and beyond in imrec("status").out
    assert "0 new, 0 changed, 0 removed, 2 unchanged images" in imrec("build").out
    fewer = imrec("build", "--limit", 1).out
    assert "1 of the removed images are left out now (exclude or limit in lake.toml)" in fewer
    lifted = imrec("build", "--limit", 0).out
    assert "4 new, 0 changed, 0 removed, 1 unchanged images" in lifted and "beyond" not in lifted
    wrong = imrec("build", "--limit", -1)
    assert wrong.status != 0 and "--limit" in wrong.err
