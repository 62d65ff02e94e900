"""Models that `lake.toml` names as timm, open_clip or torchvision does, with what the library says of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imrec_core import ImageBatch, Recommender, Text
from imrec_core.errors import BadSettings, MissingDependency, MissingWeights
from imrec_core.images.preprocess import Preprocess
from imrec_core.models import library_config, weights
from imrec_core.models.custom import custom_model
from imrec_core.models.libraries import remove_head
from imrec_core.models.library_config import LibraryModel, library_model
from imrec_core.models.loading import load_module, loading, weights_here
from imrec_core.models.model import Model
from imrec_core.models.text_encoder import encode_text
from tests.support import networks, toy
from tests.support.pictures import noise

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    """No weights and no answers of libraries are here but those that a test puts here."""
    from huggingface_hub import constants

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(library_config.platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    library_model.cache_clear()
    yield
    library_model.cache_clear()


def named(folder: Path, library: str, name: str, **changes: Any) -> Model:
    return custom_model("mine", {library: name} | changes, folder)


# -- dims and preprocessing ---------------------------------------------------------------------------------


def timm_transform(name: str) -> Any:
    import timm

    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    return timm.data.create_transform(**config)


def open_clip_transform(name: str) -> Any:
    import open_clip

    architecture, _, tag = name.partition("/")
    config = open_clip.get_pretrained_cfg(architecture, tag)
    options = {key: config[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    size = open_clip.get_model_config(architecture)["vision_cfg"]["image_size"]
    return open_clip.image_transform(size, is_train=False, **options)


def torchvision_transform(name: str) -> Any:
    from torchvision.models import get_model_weights

    architecture, _, tag = name.partition("/")
    return get_model_weights(architecture)[tag or "DEFAULT"].transforms()


TRANSFORMS = {"timm": timm_transform, "open_clip": open_clip_transform, "torchvision": torchvision_transform}


@pytest.mark.parametrize(
    ("library", "name", "dims"),
    [
        ("timm", "vit_small_patch16_dinov3.lvd1689m", 384),
        ("timm", "resnet50", 2048),
        ("timm", "mobilenetv3_large_100", 1280),
        ("timm", "vit_huge_patch14_224", 1280),
        ("open_clip", "MobileCLIP2-S0/dfndr2b", 512),
        ("open_clip", "PE-Core-B-16/meta", 1024),
        ("torchvision", "resnet34", 512),
        ("torchvision", "efficientnet_v2_s/IMAGENET1K_V1", 1280),
        ("torchvision", "maxvit_t", 512),
        ("torchvision", "squeezenet1_1", 512),
    ],
)
def test_pictures_are_prepared_as_the_library_does(library, name, dims, tmp_path):
    model, transform = named(tmp_path, library, name), TRANSFORMS[library](name)
    assert model.dims == dims
    for size in [(641, 427), (300, 500), (97, 800)]:
        picture = noise(*size, seed=3)
        theirs = transform(Image.fromarray(picture)).permute(1, 2, 0).numpy()
        theirs = (theirs * model.preprocess.std + model.preprocess.mean) * 255
        ours = ImageBatch([picture]).prepared(model.preprocess)[0].astype(np.float64)
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).mean() < 0.5 and np.abs(ours - theirs).max() <= 12


@pytest.mark.parametrize("name", ["resnet18", "convnext_tiny", "squeezenet1_1", "maxvit_t", "vit_b_32"])
def test_only_the_classifier_is_removed(name):
    import torch
    from torchvision.models import get_model

    with torch.device("meta"):
        whole, without = get_model(name, weights=None), get_model(name, weights=None)
    head = remove_head(without)
    lost = set(whole.state_dict()) - set(without.state_dict())
    assert lost and all(key.startswith(f"{head}.") for key in lost)
    assert all(1000 in whole.state_dict()[key].shape for key in lost)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_dims_are_those_of_the_network_without_its_head(name):
    import torch
    from torchvision.models import get_model

    network = get_model(name, weights=None).eval()
    remove_head(network)
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, library_model("torchvision", name).dims)


def test_table_overrides_the_library(tmp_path):
    changes = {"crop": 288, "mean": [0, 0, 0], "std": [1, 1, 1], "fit": "squash", "interpolation": "bilinear"}
    model = named(tmp_path, "timm", "resnet50.a1_in1k", pca_dims=7, licence="ours", **changes)
    assert model.preprocess == Preprocess(302, 288, (0, 0, 0), (1, 1, 1), "squash", "bilinear")
    assert (model.pca_dims, model.licence, model.extra) == (7, "ours", "timm")
    assert named(tmp_path, "timm", "resnet50", resize=224).preprocess.resize == 224


def test_tags_left_out_are_those_of_the_library(tmp_path):
    assert named(tmp_path, "timm", "resnet50").weights == "a1_in1k"
    assert named(tmp_path, "torchvision", "resnet50").stored == "resnet50-11ad3fa6.pth"
    assert named(tmp_path, "torchvision", "resnet50/IMAGENET1K_V1").stored == "resnet50-0676ba61.pth"


def test_identity_follows_the_name_the_tag_and_the_input(tmp_path):
    declared = [
        ("timm", "resnet50.a1_in1k", {}),
        ("timm", "resnet50.tv_in1k", {}),
        ("timm", "resnet34.a1_in1k", {}),
        ("timm", "resnet50.a1_in1k", {"crop": 288}),
        ("torchvision", "resnet50", {}),
        ("torchvision", "resnet50/IMAGENET1K_V1", {}),
    ]
    identities = [named(tmp_path, library, name, **changes).identity for library, name, changes in declared]
    assert len(set(identities)) == len(declared)
    assert named(tmp_path, "timm", "resnet50").identity == identities[0]


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"timm": "resnet50.a1_in2k"}, "models.mine: no timm model named 'resnet50.a1_in2k'; .*'resnet50.a1_in1k'"),
        ({"timm": "qqq"}, r"no timm model named 'qqq'; list its models with timm.list_models\(pretrained=True\)"),
        ({"timm": "hf-hub:someone/model"}, "no timm model named 'hf-hub:someone/model'"),
        ({"timm": "resnet50", "dims": 512}, "resnet50 of timm has 2048 dims; leave out 'dims'"),
        ({"timm": "resnet50", "open_clip": "RN50/openai"}, "has both 'timm' and 'open_clip'; use one of them"),
        ({"timm": "resnet50", "architecture": "resnet50"}, "has both 'timm' and 'architecture'"),
        ({"timm": "vit_large_patch14_224"}, "timm publishes no weights of vit_large_patch14_224; give a .* 'file'"),
        ({"timm": "resnet50", "crop": 300, "resize": 200}, "crop is 300; expected at most resize"),
        ({"timm": "resnet50", "fit": "longest"}, "fit is 'longest'; use one of shortest, squash"),
        ({"timm": 3}, "timm is 3; expected text"),
        ({"open_clip": "MobileCLIP2-S0"}, "names no weights of open_clip; use one of: MobileCLIP2-S0/dfndr2b"),
        ({"open_clip": "MobileCLIP2-S0/dfn"}, "no weights of MobileCLIP2-S0 in open_clip named 'dfn'; .*'dfndr2b'"),
        ({"open_clip": "MobileCLIP9-S0/dfndr2b"}, "no open_clip model named 'MobileCLIP9-S0/dfndr2b'; did you mean"),
        ({"open_clip": "hf-hub:someone/model"}, "no open_clip model named 'hf-hub:someone/model'"),
        ({"torchvision": "resnet35"}, "no torchvision model named 'resnet35'; did you mean .*'resnet34'"),
        ({"torchvision": "resnet34/V2"}, "no weights of resnet34 in torchvision named 'V2'; known: IMAGENET1K_V1"),
        ({"torchvision": "raft_small"}, "no torchvision model named 'raft_small'"),
    ],
)
def test_wrong_names_are_refused_in_one_line(table, complaint, tmp_path):
    with pytest.raises(BadSettings, match=complaint) as refused:
        custom_model("mine", table, tmp_path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"fit": "border"}, "the library has fit 'border', which imrec lacks; set fit to shortest or squash"),
        (
            {"interpolation": "lanczos"},
            "has interpolation 'lanczos', which imrec lacks; set interpolation to bicubic or",
        ),
    ],
)
def test_preparation_that_imrec_lacks_is_refused_unless_set(changed, complaint, tmp_path, monkeypatch):
    fields = library_model("timm", "resnet50").__dict__ | changed
    monkeypatch.setattr("imrec_core.models.custom.library_model", lambda library, name: LibraryModel(**fields))
    with pytest.raises(BadSettings, match=complaint):
        named(tmp_path, "timm", "resnet50")
    assert named(tmp_path, "timm", "resnet50", fit="squash", interpolation="bilinear").preprocess.fit == "squash"


@pytest.mark.parametrize(("library", "extra"), [("timm", "timm"), ("open_clip", "clip")])
def test_missing_library_names_the_extra(library, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependency, match=rf"{library} is not installed; .* 'imrec\[{extra}\]'"):
        named(tmp_path, library, "anything")


def test_gated_weights_say_where_to_accept_their_licence(tmp_path, monkeypatch):
    model = named(tmp_path, "timm", "resnet50")
    monkeypatch.setattr("imrec_core.models.loading._require_connection", lambda model, host: None)
    hint = r"licence on https://huggingface\.co/timm/resnet50\.a1_in1k, log in .*imrec models --fetch mine"
    with pytest.raises(MissingWeights, match=hint), loading(model, lambda model: None):
        raise OSError("Cannot access gated repo for url https://huggingface.co/timm/resnet50.a1_in1k")


# -- without the library ------------------------------------------------------------------------------------


def test_answers_of_a_library_are_kept_in_files(tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from imrec_core.models.custom import custom_model\n"
        "names = {'timm': 'test_vit', 'torchvision': 'resnet18', 'open_clip': 'RN50/openai'}\n"
        "models = [custom_model('mine', {key: name}, Path()) for key, name in names.items()]\n"
        "print([(m.identity, m.preprocess) for m in models])\n"
        "print(sorted({'torch', 'timm', 'open_clip', 'torchvision'} & set(sys.modules)))"
    )
    places = {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    first, second = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | places)
        for _ in range(2)
    )
    assert first.returncode == 0, first.stderr
    (before, loaded), (after, loaded_again) = (run.stdout.splitlines() for run in (first, second))
    assert "torch" in loaded and loaded_again == "[]"
    assert before == after


def test_damaged_answer_is_asked_again_and_an_unwritable_cache_is_no_error(tmp_path):
    expected = named(tmp_path, "torchvision", "resnet18")
    (file,) = (tmp_path / "imrec" / "library_models").glob("torchvision-*/resnet18.json")
    for damaged in ("", "{}", json.dumps({"dims": 3}), "[1]"):
        file.write_text(damaged)
        library_model.cache_clear()
        assert named(tmp_path, "torchvision", "resnet18") == expected
        assert json.loads(file.read_text())["dims"] == 512
    file.unlink()
    file.parent.rmdir()
    file.parent.touch()  # a file is where the folder should be
    library_model.cache_clear()
    assert named(tmp_path, "torchvision", "resnet18") == expected


# -- weights ------------------------------------------------------------------------------------------------


def test_weights_are_found_where_each_library_keeps_them(tmp_path):
    places = {
        ("torchvision", "resnet34"): tmp_path / "torch/hub/checkpoints/resnet34-b627a593.pth",
        ("timm", "gcvit_tiny.in1k"): tmp_path / "torch/hub/checkpoints/gcvit_tiny_224_nvidia-ac783954.pth",
        ("timm", "resnet50.a1_in1k"): networks.put_on_hub(
            tmp_path / "hub", "timm/resnet50.a1_in1k", "pytorch_model.bin"
        ),
        ("open_clip", "ViT-B-32/openai"): networks.put_on_hub(
            tmp_path / "hub", "timm/vit_base_patch32_clip_224.openai", "open_clip_model.safetensors"
        ),
        ("open_clip", "ViTamin-B-LTT/datacomp1b"): networks.put_on_hub(
            tmp_path / "hub", "jienengchen/ViTamin-B-LTT", "pytorch_model.bin"
        ),
    }
    for (library, name), place in places.items():
        model = named(tmp_path, library, name)
        assert not weights_here(model)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        assert weights_here(model)


# -- from end to end, random weights ------------------------------------------------------------------------


def timm_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    import timm
    from safetensors.torch import save_file

    model = named(folder, "timm", "test_vit.r160_in1k")
    place = networks.put_on_hub(folder / "hub", model.stored, "model.safetensors")
    save_file(networks.rough(timm.create_model("test_vit")).state_dict(), place)
    return model


def torchvision_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    networks.torchvision_model(folder)  # a published file is held to the hash in its name: this one is given
    return named(folder, "torchvision", "resnet18", file="resnet.pth", crop=64)


def open_clip_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    import open_clip
    from safetensors.torch import save_file

    published = {"tag": open_clip.pretrained._pcfg(hf_hub="imrec/tiny/")}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "imrec-tiny", published)
    state = networks.tiny_clip(folder).state_dict()
    save_file(state, networks.put_on_hub(folder / "hub", "imrec/tiny", "open_clip_model.safetensors"))
    return named(folder, "open_clip", "imrec-tiny/tag")


@pytest.mark.parametrize("make", [timm_by_name, torchvision_by_name, open_clip_by_name])
def test_named_model_builds_and_searches_random_weights(make, tmp_path, monkeypatch):
    model = make(tmp_path, monkeypatch)
    networks.declare(monkeypatch, model)
    toy.write_photos(tmp_path / "photos", range(8))
    lake = toy.new_lake(tmp_path / "lake", ["mine"])
    toy.build(lake)
    recommender = Recommender.open(lake)
    hits = recommender.search(tmp_path / "photos" / "photo_005.jpg", k=8, with_self=True)
    assert hits[0].path.endswith("photo_005.jpg")
    assert hits[0].parts["mine"].distance < 1e-3 < hits[1].parts["mine"].distance
    if model.text:
        ranked = [hit.path for hit in recommender.search(Text("a red car"), by="mine", k=8)]
        likeness = np.asarray(recommender.generation.matrix("mine"), np.float32) @ encode_text(model, ["a red car"])[0]
        paths = recommender.generation.rows["path"].to_pylist()
        assert [path.rpartition("/")[2] for path in ranked] == [paths[row] for row in np.argsort(-likeness)]


def test_file_and_input_of_ones_own_random_weights(tmp_path, monkeypatch):
    """A checkpoint beside the lake replaces the published one, and open_clip resizes to another input."""
    import open_clip
    import torch

    by_name = open_clip_by_name(tmp_path, monkeypatch)
    torch.save({"state_dict": networks.tiny_clip(tmp_path).state_dict()}, tmp_path / "clip.pt")
    own = named(tmp_path, "open_clip", "imrec-tiny/tag", file="clip.pt", crop=48)
    assert own.identity != by_name.identity
    assert weights.find_open_clip(own) == tmp_path / "clip.pt"
    with torch.inference_mode():
        assert load_module(own)(torch.zeros(1, 3, 48, 48)).shape == (1, 32)
        pixels = networks.inputs(by_name)
        network = open_clip.create_model("imrec-tiny", pretrained=str(tmp_path / "clip.pt"))
        torch.testing.assert_close(load_module(by_name)(pixels), network.eval().encode_image(pixels))
