"""Networks that `lake.toml` names run no code until they are loaded, and then only if the user trusts the lake."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imrec_core.errors import BadModel, ImrecError, UntrustedModel
from imrec_core.lake.lake import Lake
from imrec_core.models.custom import custom_model
from imrec_core.models.encoders import load_encoder
from imrec_core.models.loading import fetch, weights_here
from imrec_core.models.trust import VARIABLE
from imrec_dagster.cli.build import run_build
from tests.support import toy
from tests.support.networks import torchscript_model

CODE = "from pathlib import Path\nPath({!r}).touch()\ndef build():\n    raise SystemExit(3)\n"


@pytest.fixture
def touched(tmp_path, monkeypatch) -> Callable[[], list[str]]:
    """Packages `evil.deep.nets` whose modules create a file if they are imported; return the names of those files."""
    marks = tmp_path / "marks"
    marks.mkdir()
    folder = tmp_path / "packages" / "evil" / "deep"
    folder.mkdir(parents=True)
    for name, file in (("evil", "../__init__.py"), ("deep", "__init__.py"), ("nets", "nets.py")):
        (folder / file).write_text(CODE.format(str(marks / name)))
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.delenv(VARIABLE, raising=False)
    yield lambda: sorted(mark.name for mark in marks.iterdir())
    for name in ("evil", "evil.deep", "evil.deep.nets"):
        sys.modules.pop(name, None)


@pytest.fixture
def lake(tmp_path) -> Lake:
    toy.write_photos(tmp_path / "photos", range(2))
    lake = toy.new_lake(tmp_path / "lake", ("phash",))
    toy.build(lake)
    file = lake.root / "lake.toml"
    table = '\n[models.evil]\nmodule = "evil.deep.nets:build"\ndims = 8\ncrop = 32\n'
    file.write_text(file.read_text().replace('features = ["phash"]', 'features = ["phash", "evil"]') + table)
    assert "evil" in lake.settings().features
    return lake


@pytest.mark.parametrize(
    "command",
    [
        ("status",), ("features",), ("models",), ("models", "--fetch", "evil"), ("sql", "SELECT 1"), ("duplicates",),
        ("build",), ("failures",), ("failures", "--retry"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_command_imports_what_an_untrusted_lake_names(imrec, lake, touched, command):
    result = imrec(*command, "--lake", lake.root)
    assert touched() == []
    if command in (("build",), ("models", "--fetch", "evil")):
        assert result.status == 1
        line = result.err.splitlines()[-1]
        assert line.startswith("imrec: lake.toml: models.evil: the Python function evil.deep.nets:build can do")
        assert "--trust-models" in line and "IMREC_TRUST_MODELS=1" in line
    assert not [name for name in sys.modules if name.startswith("evil")]


def test_search_of_an_untrusted_lake_imports_nothing(imrec, lake, touched):
    photo = next((lake.root.parent / "photos").iterdir())
    assert imrec("search", photo, "--by", "phash", "--lake", lake.root).status == 0
    assert touched() == []


def test_trusted_lake_runs_its_code(imrec, lake, touched, monkeypatch):
    monkeypatch.setenv(VARIABLE, "")  # restored after the test, as the option sets it
    assert imrec("build", "--trust-models", "--lake", lake.root).status != 0
    assert "nets" in touched()


def test_environment_gives_trust(lake, touched, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    with pytest.raises((SystemExit, ImrecError)):
        run_build(lake, (), None, "cpu")
    assert "nets" in touched()


@pytest.mark.parametrize("value", ["", "0", "no", "true"])
def test_other_values_of_the_variable_give_no_trust(tmp_path, monkeypatch, value):
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(UntrustedModel, match="os:abort"):
        load_encoder(custom_model("mine", {"module": "os:abort", "dims": 8, "crop": 32}, tmp_path))


def test_torchscript_is_not_read_without_trust(tmp_path, monkeypatch):
    model = torchscript_model(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("torch.jit.load", lambda *_, **__: pytest.fail("it was read"))
    for load in (load_encoder, fetch):
        with pytest.raises(UntrustedModel, match="TorchScript program"):
            load(model)


@pytest.mark.parametrize("module", ["evil.deep.nets:build", "evil:build", "..x:y", "evil.none:f", "none.deep:f", ".:."])
def test_identity_imports_no_package(tmp_path, touched, module):
    model = custom_model("mine", {"module": module, "dims": 8, "crop": 32}, tmp_path)
    assert len(model.identity) == 16
    weights_here(model)
    assert touched() == []


def test_identity_follows_the_code_of_a_module_in_a_package(tmp_path, touched):
    model = custom_model("mine", {"module": "evil.deep.nets:build", "dims": 8, "crop": 32}, tmp_path)
    before = model.identity
    (tmp_path / "packages/evil/deep/nets.py").write_text("def build(): return None\n")
    assert model.identity != before


def test_weights_alone_need_no_trust(tmp_path: Path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(BadModel):
        load_encoder(custom_model("mine", {"file": "net.onnx", "dims": 8, "crop": 32}, tmp_path))
