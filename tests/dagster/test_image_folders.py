"""The sensor of changed folders goes on past folders that it cannot read."""

import os

import pytest

from imrec_dagster import sensors


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(40, "loop"), FileNotFoundError()])
@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_folder_that_cannot_be_read_is_left_out(tmp_path, monkeypatch, error, call):
    for name in ("a/b", "lost+found/c", "z/y"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    real = getattr(os, call)

    def refused(path, *rest, **options):
        if str(path).endswith("lost+found"):
            raise error
        return real(path, *rest, **options)

    monkeypatch.setattr(os, call, refused)
    found = {os.path.relpath(folder, tmp_path) for folder, _ in sensors._folders(tmp_path, 2)}
    assert found - {"lost+found"} == {".", "a", "a/b", "z", "z/y"}


def test_root_that_is_gone_yields_nothing(tmp_path):
    assert list(sensors._folders(tmp_path / "gone", 2)) == []
