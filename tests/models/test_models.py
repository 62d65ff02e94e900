"""What is declared of a network: by imrec, by its library, and by a `lake.toml`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from imrec_core import ImageBatch
from imrec_core.errors import BadSettings, UnknownName
from imrec_core.images.preprocess import Preprocess
from imrec_core.models.custom import custom_model
from imrec_core.models.registry import IMAGENET_MEAN, IMAGENET_STD, MODELS, find_model
from imrec_dagster.cli.main import imrec
from tests.support.pictures import noise, stripes
from tests.support.toy import write_photos

GIVEN = {"file": "mine.onnx", "dims": 512, "crop": 224}
BY_LOADER = {
    loader: [m for m in MODELS.values() if m.loader == loader] for loader in ("torchvision", "open_clip", "timm")
}
SIZES = [(641, 427), (300, 500), (225, 224), (97, 1001), (50, 31)]


def sharp(width: int, height: int) -> np.ndarray:
    """A picture with edges, which every interpolation renders in its own way."""
    return noise(width, height, seed=3) // 2 + stripes(width, height) // 2


def resized(preprocess: Preprocess, pictures: list[np.ndarray]) -> np.ndarray:
    return ImageBatch(pictures).prepared(preprocess).astype(np.int16)


def assert_nearly_equal(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Resizing a part gives what cutting out of the resized gives, but for rounding at the edges of the part."""
    assert ours.shape == theirs.shape
    difference = np.abs(ours - theirs.astype(np.int16))
    assert difference.mean() < 0.5
    assert difference.max() <= 12


# -- preprocessing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pictures_are_prepared_as_torchvision_does(fit, interpolation, size):
    from PIL import Image
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize

    preprocess = Preprocess(64, 56, IMAGENET_MEAN, IMAGENET_STD, fit, interpolation)
    picture = sharp(*size)
    resize = Resize(64 if fit == "shortest" else (64, 64), InterpolationMode[interpolation.upper()])
    plain = np.asarray(CenterCrop(56)(resize(Image.fromarray(picture))))
    assert_nearly_equal(resized(preprocess, [picture])[0], plain)


def test_interpolations_and_fits_differ():
    """The comparison above can tell them apart."""
    pictures = [sharp(500, 300)]
    bicubic = resized(Preprocess(64, 64, IMAGENET_MEAN, IMAGENET_STD), pictures)
    bilinear = resized(Preprocess(64, 64, IMAGENET_MEAN, IMAGENET_STD, interpolation="bilinear"), pictures)
    squashed = resized(Preprocess(64, 64, IMAGENET_MEAN, IMAGENET_STD, fit="squash"), pictures)
    assert np.abs(bicubic - bilinear).mean() > 2
    assert np.abs(bicubic - squashed).mean() > 5


@pytest.mark.parametrize("model", BY_LOADER["torchvision"], ids=lambda m: m.name)
def test_torchvision_says_the_same_of_its_weights(model):
    from torchvision.models import get_model_weights

    weights = get_model_weights(model.architecture)[model.weights]
    published = weights.transforms()
    assert weights.url.endswith(f"/{model.stored}")
    assert (published.resize_size, published.crop_size) == ([model.preprocess.resize], [model.preprocess.crop])
    assert (tuple(published.mean), tuple(published.std)) == (model.preprocess.mean, model.preprocess.std)
    assert published.interpolation.value == model.preprocess.interpolation


@pytest.mark.parametrize("model", BY_LOADER["open_clip"], ids=lambda m: m.name)
def test_open_clip_says_the_same_of_its_weights(model):
    import open_clip

    published = open_clip.get_pretrained_cfg(model.architecture, model.weights)
    config = open_clip.get_model_config(model.architecture)
    assert published["hf_hub"].rstrip("/") == model.stored
    assert (published["mean"], published["std"]) == (model.preprocess.mean, model.preprocess.std)
    assert (published["interpolation"], published["resize_mode"]) == (
        model.preprocess.interpolation,
        model.preprocess.fit,
    )
    assert config["embed_dim"] == model.dims
    assert config["vision_cfg"]["image_size"] == model.preprocess.resize == model.preprocess.crop


@pytest.mark.parametrize("model", BY_LOADER["open_clip"], ids=lambda m: m.name)
def test_pictures_are_prepared_as_open_clip_does(model):
    import open_clip
    from PIL import Image

    published = open_clip.get_pretrained_cfg(model.architecture, model.weights)
    options = {key: published[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    transform = open_clip.image_transform(model.preprocess.crop, is_train=False, **options)
    for size in SIZES:
        picture = sharp(*size)
        theirs = transform(Image.fromarray(picture)).permute(1, 2, 0).numpy()
        theirs = (theirs * model.preprocess.std + model.preprocess.mean) * 255
        assert_nearly_equal(resized(model.preprocess, [picture])[0], theirs.round())


@pytest.mark.parametrize("model", BY_LOADER["timm"], ids=lambda m: m.name)
def test_timm_says_the_same_of_its_weights(model):
    import timm

    published = timm.get_pretrained_cfg(f"{model.architecture}.{model.weights}")
    assert published.hf_hub_id == model.stored
    assert published.license == model.licence.lower().replace(" ", "-")
    assert (published.mean, published.std, published.interpolation) == (
        model.preprocess.mean,
        model.preprocess.std,
        "bicubic",
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_timm_says_the_same_of_efficientnet_lite(number):
    import timm

    published, preprocess = (
        timm.get_pretrained_cfg(f"tf_efficientnet_lite{number}"),
        MODELS[f"efficientnet_lite{number}"].preprocess,
    )
    assert published.input_size == (3, preprocess.crop, preprocess.crop)
    assert int(preprocess.crop / published.crop_pct) == preprocess.resize
    assert published.interpolation == preprocess.interpolation


# -- what imrec knows ---------------------------------------------------------------------------------------


def test_each_name_is_its_key_and_each_model_says_whose_it_is():
    for name, model in MODELS.items():
        assert model.name == name
        assert model.licence and model.source and model.summary.endswith(".")
        assert model.pca_dims < model.dims
        assert not model.is_custom


def test_identities_differ():
    assert len({model.identity for model in MODELS.values()}) == len(MODELS)


def test_known_hash_is_the_identity():
    model = MODELS["efficientnet_lite0"]
    assert model.identity == model.sha256[:16]


def test_unknown_model_suggests_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'resnet18'"):
        find_model("resnet-18")


def test_weights_are_looked_for_without_torch_and_where_torch_looks(tmp_path):
    code = (
        "import sys\n"
        "from imrec_core.models.registry import MODELS\n"
        "from imrec_core.models.loading import weights_here\n"
        "from imrec_core.models.weights import torch_hub\n"
        "here = [name for name, model in MODELS.items() if weights_here(model)]\n"
        "hub = torch_hub()\n"
        "assert not {'torch', 'timm', 'open_clip', 'transformers'} & set(sys.modules)\n"
        "import torch\n"
        "assert str(hub) == torch.hub.get_dir(), hub\n"
        "print(*here)"
    )
    checkpoint = tmp_path / "hub" / "checkpoints" / MODELS["resnet18"].stored
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    places = {"TORCH_HOME": str(tmp_path), "HF_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, env=os.environ | places
    )
    assert done.returncode == 0, done.stderr
    lites = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
    assert done.stdout.split() == [*lites, "resnet18"]


# -- what a lake declares -----------------------------------------------------------------------------------


def test_least_declaration_has_defaults(tmp_path):
    model = custom_model("mine", GIVEN, tmp_path)
    assert (model.name, model.loader, model.file) == ("mine", "onnx", tmp_path / "mine.onnx")
    assert model.preprocess == Preprocess(224, 224, IMAGENET_MEAN, IMAGENET_STD, "shortest", "bicubic")
    assert (model.dims, model.pca_dims, model.extra, model.text) == (512, 256, None, False)
    assert model.is_custom
    hash(model)


def test_everything_can_be_declared(tmp_path):
    table = {
        "loader": "open_clip",
        "architecture": "ViT-B-32",
        "file": "/elsewhere/clip.safetensors",
        "dims": 100,
        "resize": 300,
        "crop": 256,
        "fit": "squash",
        "interpolation": "bilinear",
        "mean": [0, 0.5, 1],
        "std": [1, 2.5, 3],
        "pca_dims": 32,
        "summary": "Shoes.",
        "licence": "ours",
        "source": "us",
    }
    model = custom_model("shoes", table, tmp_path)
    assert model.file == Path("/elsewhere/clip.safetensors")
    assert model.preprocess == Preprocess(300, 256, (0, 0.5, 1), (1, 2.5, 3), "squash", "bilinear")
    assert (model.architecture, model.text, model.extra, model.pca_dims) == ("ViT-B-32", True, "clip", 32)
    assert (model.summary, model.licence, model.source) == ("Shoes.", "ours", "us")


@pytest.mark.parametrize(
    ("file", "loader"), [("a.onnx", "onnx"), ("a.pt", "torchscript"), ("a.PTH", "torchscript"), ("a.ts", "torchscript")]
)
def test_ending_says_what_a_file_is(file, loader, tmp_path):
    assert custom_model("mine", GIVEN | {"file": file}, tmp_path).loader == loader


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"crops": 3}, "models.mine: no setting named 'crops'; did you mean 'crop'"),
        ({"dims": None}, "models.mine: has no 'dims'"),
        ({"crop": None}, "models.mine: has no 'crop'"),
        ({"dims": 1}, "dims is 1; expected a whole number from 2"),
        ({"dims": 512.0}, "dims is 512.0; expected a whole number"),
        ({"crop": True}, "crop is True; expected a whole number"),
        ({"pca_dims": 513}, "pca_dims is 513; expected a whole number from 1 to 512"),
        ({"resize": 200}, "crop is 224; expected at most resize, which is 200"),
        ({"fit": "longest"}, "fit is 'longest'; use one of shortest, squash"),
        ({"interpolation": "nearest"}, "interpolation is 'nearest'; use one of bicubic, bilinear"),
        ({"mean": [0.5]}, r"mean is \[0.5\]; expected three numbers"),
        ({"mean": ["a", "b", "c"]}, "expected three numbers"),
        ({"std": [1, 0, 1]}, "expected numbers above 0"),
        ({"file": 3}, "file is 3; expected text"),
        ({"file": None}, "has neither 'file' nor 'module'"),
        ({"file": "net.safetensors"}, "file is 'net.safetensors'; without 'loader' or 'module', expected an ONNX"),
        ({"loader": "tim", "architecture": "x"}, "no loader named 'tim'; did you mean 'timm'"),
        ({"loader": "timm"}, "has no 'architecture', which a model of timm needs"),
        ({"loader": "timm", "architecture": "x", "file": None}, "has no 'file', which a model of timm needs"),
        ({"architecture": "resnet18"}, "has an 'architecture' but no 'loader'; use one of torchvision"),
        ({"loader": "timm", "module": "a:b"}, "has both 'loader' and 'module'"),
        ({"module": "package.nets"}, "module is 'package.nets'; expected 'package.module:function'"),
    ],
)
def test_wrong_declarations_are_refused(changes, complaint, tmp_path):
    table = {key: value for key, value in (GIVEN | changes).items() if value is not None}
    with pytest.raises(BadSettings, match=complaint):
        custom_model("mine", table, tmp_path)


def test_identity_of_ones_own_follows_the_content_and_the_declaration(tmp_path):
    file = tmp_path / "mine.onnx"
    missing = custom_model("mine", GIVEN, tmp_path).identity
    file.write_bytes(b"one")
    os.utime(file, ns=(1, 1))
    model = custom_model("mine", GIVEN, tmp_path)
    first = model.identity
    file.write_bytes(b"two")
    os.utime(file, ns=(2, 2))
    second = model.identity
    file.write_bytes(b"one")
    os.utime(file, ns=(3, 3))
    assert model.identity == first
    other = custom_model("mine", GIVEN | {"mean": [0.5, 0.5, 0.5]}, tmp_path).identity
    assert len({missing, first, second, other}) == 4


def test_identity_of_a_folder_follows_each_file_in_it(tmp_path):
    (tmp_path / "net" / "deep").mkdir(parents=True)
    (tmp_path / "net" / "deep" / "weights.bin").write_bytes(b"one")
    table = {"loader": "open_clip", "architecture": "x", "file": "net", "dims": 8, "crop": 32}
    before = custom_model("mine", table, tmp_path).identity
    (tmp_path / "net" / "deep" / "weights.bin").write_bytes(b"three")
    assert custom_model("mine", table, tmp_path).identity != before


def test_identity_of_a_module_follows_its_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "nets_of_mine.py").write_text("def build(): ...\n")
    model = custom_model("mine", {"module": "nets_of_mine:build", "dims": 8, "crop": 32}, tmp_path)
    before = model.identity
    (tmp_path / "nets_of_mine.py").write_text("def build(): return None\n")
    assert model.identity != before
    assert "nets_of_mine" not in sys.modules


# -- the command --------------------------------------------------------------------------------------------


def imrec_models(*arguments: str) -> Result:
    return CliRunner().invoke(imrec, ["models", *arguments])


def test_command_lists_known_models_and_those_of_the_lake(tmp_path):
    (tmp_path / "lake.toml").write_text('[models.shoes]\nfile = "shoes.onnx"\ndims = 64\ncrop = 96\n')
    listed = {row["name"]: row for row in json.loads(imrec_models("--json", "--lake", str(tmp_path)).output)}
    assert set(listed) == {*MODELS, "shoes"}
    assert listed["efficientnet_lite0"]["weights"] == "here"
    assert (listed["shoes"]["weights"], listed["shoes"]["dims"], listed["shoes"]["input"]) == ("not here", 64, "96 px")
    assert listed["clip_vit_b32"]["text"] and listed["clip_vit_b32"]["extra"] == "clip"
    assert "efficientnet_lite0" in imrec_models("efficientnet_lite0", "--lake", str(tmp_path)).output


def test_command_fetches_what_is_named(tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr("imrec_core.models.loading.fetch", lambda model: fetched.append(model.name))
    assert imrec_models("--fetch", "--lake", str(tmp_path)).exit_code == 2
    assert imrec_models("--fetch", "resnet18", "dinov2_small", "--lake", str(tmp_path)).exit_code == 0
    assert fetched == ["resnet18", "dinov2_small"]


def test_command_refuses_unknown_models(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'resnet18'"):
        raise imrec_models("resnet17", "--lake", str(tmp_path)).exception


def test_command_checks_a_model_on_given_photos(tmp_path):
    write_photos(tmp_path / "photos", range(3))
    options = ("--check", "--photos", str(tmp_path / "photos"), "--json", "--lake", str(tmp_path))
    (found,) = json.loads(imrec_models("efficientnet_lite0", *options).output)
    assert (found["name"], found["pictures"], found["reference"]) == ("efficientnet_lite0", 3, "torch fp32")
    assert 0.98 < found["least"] <= found["mean"] <= 1.001
    assert found["images_per_second"] > 0
