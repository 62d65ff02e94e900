"""`build_definitions` in a code location of a user's own, beside other assets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import imrec_dagster
from tests.support import toy

ROOT = Path(imrec_dagster.__file__).parent.parent


def test_public_names_are_imported_when_they_are_used():
    for name in imrec_dagster.__all__:
        assert getattr(imrec_dagster, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'build'"):
        getattr(imrec_dagster, "build")  # noqa: B009


def test_import_of_build_definitions_builds_none():
    code = (
        "import sys; from imrec_dagster import build_definitions;"
        "print('imrec_dagster.definitions' in sys.modules, build_definitions.__module__)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "imrec_dagster.code_location"]


def test_example_of_the_docs_merges_with_an_asset_of_a_user(tmp_path, monkeypatch):
    lake = toy.new_lake(tmp_path / "lake", ("phash",))
    toy.write_photos(tmp_path / "photos", range(3))
    (example,) = re.findall(
        r"```python\n(import dagster as dg\n.*?)```", (ROOT / "docs/guides/deploy.md").read_text(), re.DOTALL
    )
    assert '"/srv/imrec/lake"' in example
    names: dict[str, object] = {"__name__": "mine"}
    exec(example.replace("/srv/imrec/lake", str(lake.root)), names)
    defs = names["defs"]
    assert isinstance(defs, dg.Definitions)
    dg.Definitions.validate_loadable(defs)
    graph = defs.resolve_asset_graph()
    assert graph.get(dg.AssetKey("report")).parent_keys == {dg.AssetKey("generation")}
    assert {"catalog", "features/phash"} <= {key.to_user_string() for key in graph.get_all_asset_keys()}
    with dg.DagsterInstance.ephemeral() as instance:
        assert defs.resolve_job_def("scan").execute_in_process(instance=instance).success
    assert lake.shards() == ["photos-0000"]
