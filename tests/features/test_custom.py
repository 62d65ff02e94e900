"""What a lake.toml declares: features and graphs of its own, made as declared, or refused in one clear sentence."""

from __future__ import annotations

import numpy as np
import pytest
import simplejpeg

from imrec_core import FEATURES, Feature, ImageBatch, Lake
from imrec_core.errors import BadSettings, UnknownName
from imrec_core.features import chosen_features, decoded_side, generation_features, known_features
from imrec_core.features.colour_spaces import SPACES
from imrec_core.features.reduction import METHODS
from imrec_core.images.decode import decode
from imrec_core.lake.settings import DEFAULT_FEATURES
from imrec_core.search.feature_weights import mix_weights
from tests.support import toy


@pytest.fixture
def declared(tmp_path):
    """The lake with that text after its sources and its one feature."""

    def make(text: str) -> Lake:
        lake = toy.new_lake(tmp_path / "lake", ("phash",))
        lake.settings_path.write_text(f'features = ["phash"]\n{text}\n\n[sources]\nphotos = "../photos"\n')
        return lake

    return make


def own(lake: Lake) -> dict[str, Feature]:
    return {name: feature for name, feature in known_features(lake).items() if name not in FEATURES}


@pytest.fixture(scope="module")
def batch() -> ImageBatch:
    return ImageBatch([toy.photo(seed, *size) for seed, size in enumerate([(160, 120), (90, 130), (64, 64), (33, 80)])])


# -- what there is ------------------------------------------------------------------------------------------


def test_lake_that_declares_nothing_has_the_registry_and_what_it_lists(declared):
    lake = declared("")
    assert known_features(lake) == FEATURES
    assert chosen_features(lake) == [FEATURES["phash"]]


def test_bases_of_what_is_listed_are_chosen_with_it(declared):
    lake = declared("")
    toy.set_to(lake, features=("efficientnet_lite0_content", "phash"))
    assert [f.name for f in chosen_features(lake)] == ["efficientnet_lite0_content", "phash", "efficientnet_lite0"]


def test_what_is_declared_is_chosen_after_what_is_listed_and_its_bases_last(declared):
    lake = declared("""
[histograms.coarse]
levels = [4, 4, 4]
[projections.deep]
base = "small"
dims = 3
[projections.small]
base = "efficientnet_lite0_content"
dims = 6
[combined.mix]
coarse = 1
dhash = 2
""")
    names = [feature.name for feature in chosen_features(lake)]
    assert names[0] == "phash" and set(names[1:5]) == {"coarse", "deep", "small", "mix"}
    assert set(names[5:]) == {"efficientnet_lite0_content", "efficientnet_lite0", "dhash"} and len(names) == 8
    assert {f.name: f.depth for f in chosen_features(lake)} == {
        **dict.fromkeys(("phash", "coarse", "efficientnet_lite0", "dhash"), 0),
        **dict.fromkeys(("mix", "efficientnet_lite0_content"), 1), "small": 2, "deep": 3,
    }  # fmt: skip


def test_default_features_need_content_vectors_alone_beside_what_is_listed(tmp_path):
    lake = toy.new_lake(tmp_path / "lake", DEFAULT_FEATURES)
    network, *others = DEFAULT_FEATURES
    assert [feature.name for feature in chosen_features(lake)] == [network, f"{network}_content", *others]
    assert [feature.name for feature in generation_features(lake)] == list(DEFAULT_FEATURES)


# -- histograms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("rgb_histogram", "levels = [8, 8, 8]"),
        ("rgb_histogram", 'space = "rgb"\nlevels = [8, 8, 8]\njoint = true'),
        ("hsv_histogram", 'space = "hsv"\nlevels = [16, 4, 4]'),
    ],
)
def test_histogram_of_the_levels_of_a_known_one_equals_it(declared, batch, name, table):
    mine = own(declared(f"[histograms.mine]\n{table}"))["mine"]
    known = FEATURES[name]
    assert (mine.dims, mine.dtype, mine.metrics, mine.group) == (known.dims, known.dtype, known.metrics, "colour")
    np.testing.assert_array_equal(mine(batch), known(batch))


def test_histogram_has_the_levels_that_are_requested_the_last_channel_fastest(declared):
    mine = own(declared("[histograms.mine]\nlevels = [2, 3, 4]"))["mine"]
    red, blue, white = (np.full((40, 40, 3), c, np.uint8) for c in ((255, 0, 0), (0, 0, 255), (255, 255, 255)))
    vectors = mine(ImageBatch([red, blue, white]))
    assert vectors.shape == (3, 24)
    assert vectors.argmax(axis=1).tolist() == [12, 3, 23]
    np.testing.assert_allclose(vectors.max(axis=1), 1)


def test_histogram_of_each_channel_stands_side_by_side(declared):
    mine = own(declared("[histograms.mine]\nlevels = [2, 3, 4]\njoint = false"))["mine"]
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = 255
    vector = mine(ImageBatch([red]))[0]
    assert mine.dims == 9 and np.flatnonzero(vector).tolist() == [1, 2, 5]
    np.testing.assert_allclose(vector[[1, 2, 5]], 1 / 3)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("joint", [True, False])
def test_every_histogram_is_a_distribution(declared, batch, space, joint):
    table = f'space = "{space}"\nlevels = [5, 6, 7]\njoint = {str(joint).lower()}'
    vectors = own(declared(f"[histograms.mine]\n{table}"))["mine"](batch)
    np.testing.assert_allclose(vectors.sum(axis=1), 1, atol=1e-5)
    assert vectors.min() >= 0


@pytest.mark.parametrize("levels", [[256, 256, 256], [10, 20, 250], [8, 16, 48]])
def test_levels_of_each_channel_are_counted_pixel_by_pixel(declared, levels):
    mine = own(declared(f"[histograms.mine]\nlevels = {levels}\njoint = false"))["mine"]
    picture = noise()
    plain = [np.histogram(picture[..., c], levels[c], (0, 256))[0] for c in range(3)]
    np.testing.assert_allclose(mine(ImageBatch([picture]))[0], np.concatenate(plain) / picture.size, atol=1e-7)


def test_joint_levels_that_do_not_divide_32_are_counted_pixel_by_pixel(declared):
    mine = own(declared("[histograms.mine]\nlevels = [10, 3, 32]"))["mine"]
    picture = noise()
    plain = np.histogramdd(picture.reshape(-1, 3), (10, 3, 32), [(0, 256)] * 3)[0].ravel()
    np.testing.assert_allclose(mine(ImageBatch([picture]))[0], plain / plain.sum(), atol=1e-7)


@pytest.mark.parametrize("all_pixels", [False, True])
def test_large_picture_is_computed_from_all_its_pixels_where_that_is_requested(declared, all_pixels):
    lake = declared(f"[histograms.mine]\nlevels = [4, 4, 4]\nall_pixels = {str(all_pixels).lower()}")
    data = simplejpeg.encode_jpeg(noise(1200, 1600), 95)
    picture = decode(data, min_side=decoded_side(lake)).pixels
    assert (picture.shape[:2] == (1200, 1600)) == all_pixels
    mine = own(lake)["mine"]
    assert mine.summary.endswith("over all pixels.") == all_pixels
    whole = FEATURES["rgb_histogram"](ImageBatch([decode(data).pixels]))[0].reshape(4, 2, 4, 2, 4, 2).sum((1, 3, 5))
    off = np.abs(mine(ImageBatch([picture]))[0] - whole.ravel()).sum()
    assert off < 1e-5 if all_pixels else off > 0.1


def test_histogram_of_all_pixels_is_another_one(declared):
    plain, full = (
        own(declared(f"[histograms.mine]\nlevels = [4, 4, 4]\nall_pixels = {value}"))["mine"].params
        for value in ("false", "true")
    )
    assert plain != full and "all_pixels" not in plain


def noise(height: int = 70, width: int = 50) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


# -- projections --------------------------------------------------------------------------------------------


def test_projection_is_what_its_table_says(declared):
    mine = own(declared('[projections.mine]\nbase = "rgb_histogram"\ndims = 32\nmethod = "whitened_pca"'))["mine"]
    assert (mine.dims, mine.dtype, mine.group, mine.bases) == (
        32,
        "float32",
        "projections",
        (FEATURES["rgb_histogram"],),
    )
    assert mine.params == {"base": "rgb_histogram", "method": "whitened_pca", "dims": 32}
    assert mine.projection.least_rows == 32


def test_projection_is_by_pca_where_nothing_is_declared_and_takes_the_settings_of_its_method(declared):
    features = own(
        declared("""
[projections.plain]
base = "hog"
dims = 8
[projections.curved]
base = "hog"
dims = 8
method = "kernel_pca"
landmarks = 50
""")
    )
    assert features["plain"].params["method"] == "pca"
    assert features["curved"].params == {
        "base": "hog", "method": "kernel_pca", "dims": 8, **METHODS["kernel_pca"].params, "landmarks": 50
    }  # fmt: skip


def test_projections_may_be_declared_before_what_they_are_made_of(declared):
    features = own(
        declared("""
[projections.c]
base = "b"
dims = 2
[projections.b]
base = "mix"
dims = 9
[combined.mix]
fine = 1
"rgb_histogram:euclidean" = 1
[histograms.fine]
levels = [2, 2, 2]
""")
    )
    assert set(features) == {"mix", "b", "c", "fine"}
    assert features["c"].bases == (features["b"],) and features["b"].bases == (features["mix"],)
    assert features["mix"].bases == (features["fine"], FEATURES["rgb_histogram"])
    assert features["c"].depth == 3


# -- networks -----------------------------------------------------------------------------------------------

NETWORK = '[models.mine]\nfile = "mine.onnx"\ndims = 40\ncrop = 32\npca_dims = 7\n'


def test_network_of_ones_own_is_a_feature_with_content_vectors(declared):
    lake = declared(NETWORK)
    features = own(lake)
    assert list(features) == ["mine", "mine_content"]
    assert features["mine"].model.file == lake.root / "mine.onnx" and features["mine"].content == "mine_content"
    assert features["mine_content"].bases == (features["mine"],) and features["mine_content"].dims == 7


def test_other_features_may_be_made_of_a_network_of_ones_own(declared):
    features = own(
        declared(f'{NETWORK}[projections.less]\nbase = "mine"\ndims = 20\n[combined.mix]\nmine = 1\nless = 1\n')
    )
    assert features["mix"].bases == (features["mine"], features["less"])


# -- what is refused ----------------------------------------------------------------------------------------

HISTOGRAM = "[histograms.mine]\nlevels = [4, 4, 4]\n"


def projected(*lines: str, name: str = "mine", base: str = "rgb_histogram", dims: str = "8") -> str:
    return "\n".join([f"[projections.{name}]", f'base = "{base}"', f"dims = {dims}", *lines, ""])


def mixed(*lines: str, name: str = "mine") -> str:
    return "\n".join([f"[combined.{name}]", *lines, ""])


def indexed(name: str, *lines: str) -> str:
    return "\n".join([f'[indexes."{name}"]', *lines, ""])


def blended(*lines: str, name: str = "look") -> str:
    return "\n".join([f"[mixes.{name}]", *lines, ""])


REFUSED = {
    # names
    "taken by a feature": (projected(name="phash"), "the name 'phash' is already in use; choose another"),
    "taken by a table": (projected(name="images"), "the name 'images' is already in use; choose another"),
    "taken by another kind": (HISTOGRAM + projected(), "the name 'mine' is already in use; choose another"),
    "taken by content vectors": (
        NETWORK + projected(name="mine_content"),
        "the name 'mine_content' is already in use; choose another",
    ),
    "capitals": (projected(name="Mine"), "invalid name 'Mine'; expected lowercase letters, digits and '_'"),
    "digit first": (projected(name="2nd"), "invalid name '2nd'"),
    "hyphen": (projected(name="my-own"), "invalid name 'my-own'"),
    "path": (mixed("phash = 1", "dhash = 1", name='"../x"'), "invalid name '../x'"),
    "empty": (mixed("phash = 1", "dhash = 1", name='""'), "invalid name ''"),
    # histograms
    "no levels": ("[histograms.mine]", "histograms.mine has no 'levels'"),
    "two levels": (
        "[histograms.mine]\nlevels = [4, 4]",
        "levels is [4, 4]; expected three whole numbers for rgb, 1 to 256",
    ),
    "no level": ("[histograms.mine]\nlevels = [4, 0, 4]", "expected three whole numbers for rgb, 1 to 256"),
    "too many levels": (
        '[histograms.mine]\nspace = "lab"\nlevels = [4, 33, 4]',
        "expected three whole numbers for lab, 1 to 32",
    ),
    "half a level": ("[histograms.mine]\nlevels = [4, 1.5, 4]", "expected three whole numbers for rgb, 1 to 256"),
    "level as truth": ("[histograms.mine]\nlevels = [4, true, 4]", "expected three whole numbers for rgb, 1 to 256"),
    "too many bins": (
        "[histograms.mine]\nlevels = [64, 32, 32]",
        "levels give 65536 bins; expected at most 32768, or joint = false",
    ),
    "pixels as text": (HISTOGRAM + 'all_pixels = "yes"', "all_pixels is 'yes'; expected bool"),
    "levels as a number": ("[histograms.mine]\nlevels = 4", "levels is 4; expected list"),
    "unknown space": (HISTOGRAM + 'space = "hsw"', "no colour space named 'hsw'; did you mean 'hsv'"),
    "space as a number": (HISTOGRAM + "space = 3", "space is 3; expected str"),
    "joint as text": (HISTOGRAM + 'joint = "no"', "joint is 'no'; expected bool"),
    "unknown key": (HISTOGRAM + "bins = 3", "histograms.mine: no setting named 'bins'"),
    # projections
    "no base": ("[projections.mine]\ndims = 8", "projections.mine has no 'base'"),
    "no dims": ('[projections.mine]\nbase = "hog"', "projections.mine has no 'dims'"),
    "unknown base": (
        projected(base="rgb_histogramm"),
        "no feature named 'rgb_histogramm'; did you mean 'rgb_histogram'",
    ),
    "unknown own base": (HISTOGRAM + projected(name="p", base="mien"), "no feature named 'mien'; did you mean 'mine'"),
    "base as a number": ("[projections.mine]\nbase = 3\ndims = 8", "base is 3; expected str"),
    "too many dims": (projected(dims="513"), "dims is 513; expected 1 to 512, the dims of rgb_histogram"),
    "more than an own base": (
        projected(name="a") + projected(name="b", base="a", dims="9"),
        "projections.b: dims is 9; expected 1 to 8, the dims of a",
    ),
    "no number": (projected(dims="0"), "dims is 0; expected 1 to 512, the dims of rgb_histogram"),
    "dims as text": (projected(dims='"8"'), "dims is '8'; expected int"),
    "dims as truth": (projected(dims="true"), "dims is True; expected int"),
    "half a dim": (projected(dims="8.0"), "dims is 8.0; expected int"),
    "of a hash": (
        projected(base="phash"),
        "projections.mine: base phash is a hash; expected a feature with vectors of numbers",
    ),
    "unknown method": (projected('method = "pac"'), "projections.mine: no method named 'pac'; did you mean 'pca'"),
    "method as a number": (projected("method = 3"), "method is 3; expected str"),
    "unknown setting": (projected("landmark = 3"), "projections.mine: no setting of pca named 'landmark'"),
    "setting of another method": (
        projected('method = "kernel_pca"', "landmark = 3"),
        "no setting of kernel_pca named 'landmark'; did you mean 'landmarks'",
    ),
    "grid of what is not tried": (
        projected('method = "autoencoder"', "grid = {widht = [8]}"),
        "projections.mine: no hyperparameter named 'widht'; did you mean 'width'",
    ),
    "setting of a wrong kind": (
        projected('method = "kernel_pca"', 'landmarks = "many"'),
        "landmarks is 'many'; expected a whole number, 0 or more",
    ),
    # circles
    "of itself": (projected(name="a", base="a"), "a → a: a feature cannot be computed from itself"),
    "circle": (
        projected(name="a", base="b") + projected(name="b", base="c") + projected(name="c", base="a"),
        "a → b → c → a: a feature cannot be computed from itself",
    ),
    "circle below": (
        projected(name="top", base="a") + projected(name="a", base="mix") + mixed("a = 1", "hog = 1", name="mix"),
        "a → mix → a: a feature cannot be computed from itself",
    ),
    # combinations
    "weight 0": (mixed("phash = 0", "hog = 1"), "combined.mine: the weight of phash is 0; expected a number above 0"),
    "negative": (
        mixed("phash = 1", "hog = -0.5"),
        "combined.mine: the weight of hog is -0.5; expected a number above 0",
    ),
    "nan": (mixed("phash = nan", "hog = 1"), "the weight of phash is nan; expected a number above 0"),
    "infinite": (mixed("phash = inf", "hog = 1"), "the weight of phash is inf; expected a number above 0"),
    "truth": (mixed("phash = true", "hog = 1"), "the weight of phash is True; expected a number above 0"),
    "text": (mixed('phash = "much"', "hog = 1"), "the weight of phash is 'much'; expected a number above 0"),
    "nested": (mixed("phash = {a = 1}", "hog = 1"), "the weight of phash is {'a': 1}; expected a number above 0"),
    "one part": (mixed("phash = 1"), "combined.mine has 1 phash; expected two features or more"),
    "no part": (mixed(), "combined.mine has no feature; expected two features or more"),
    "unknown part": (mixed("phsh = 1", "hog = 1"), "no feature named 'phsh'; did you mean 'phash'"),
    "unknown metric": (
        mixed('"rgb_histogram:helinger" = 1', "hog = 1"),
        "no metric of rgb_histogram named 'helinger'; did you mean 'hellinger'",
    ),
    "metric that no index sums": (
        mixed('"rgb_histogram:manhattan" = 1', "hog = 1"),
        "combined.mine: rgb_histogram:manhattan has the metric manhattan, which cannot be combined; "
        "use rgb_histogram:hellinger",
    ),
    # graphs
    "graph of an unknown feature": (indexed("phsh", "m = 8"), "no feature named 'phsh'; did you mean 'phash'"),
    "graph of an unknown metric": (indexed("phash:haming", "m = 8"), "no metric of phash named 'haming'"),
    "graph of manhattan": (
        indexed("rgb_histogram:manhattan", "m = 8"),
        "indexes.rgb_histogram:manhattan: manhattan has no HNSW index; use hellinger",
    ),
    "graph of what is scanned faster": (indexed("phash", "m = 8"), "indexes.phash: hamming has no HNSW index"),
    "network that there is not": (
        "[model_options.resnet19]\nbatch = 4",
        "model_options.resnet19: no feature named 'resnet19'",
    ),
    "network of a feature without": (
        "[model_options.hog]\nbatch = 4",
        "model_options.hog: hog is not an embedding of a model",
    ),
    "unknown parameter": (indexed("hog", "M = 8"), "indexes.hog: no setting named 'M'"),
    "no links": (indexed("hog", "m = 1"), "indexes.hog: m is 1; it must be from 2 to 10000"),
    "negative breadth": (indexed("hog", "ef = -1"), "indexes.hog: ef is -1; it must be from 0 to 10000"),
    "no breadth": (indexed("hog", "ef_construction = -1"), "ef_construction is -1; it must be from 0 to 10000"),
    "no candidates": (indexed("hog", "candidates = 0"), "candidates is 0; it must be from 1 to 10000"),
    "too many candidates": (indexed("hog", "candidates = 10001"), "candidates is 10001; it must be from 1 to 10000"),
    "half a link": (indexed("hog", "m = 16.5"), "m is 16.5; it must be from 2 to 10000"),
    "links as truth": (indexed("hog", "m = true"), "m is True; it must be from 2 to 10000"),
    "links as text": (indexed("hog", 'm = "16"'), "m is '16'; it must be from 2 to 10000"),
    # mixes
    "mix by a bad name": (blended("phash = 1", name='"my look"'), "invalid name 'my look' of a mix"),
    "mix of an unknown feature": (blended("phsh = 1"), "mixes.look: no feature named 'phsh'; did you mean 'phash'"),
    "mix by a strange metric": (blended('"phash:haming" = 1'), "mixes.look: no metric of phash named 'haming'"),
    "mix with less than nothing": (
        blended("phash = -0.5"),
        "the weight of phash is -0.5; expected a number of 0 or more",
    ),
    "mix without end": (blended("phash = inf"), "the weight of phash is inf; expected a number of 0 or more"),
    "mix of no number": (blended("phash = nan"), "the weight of phash is nan; expected a number of 0 or more"),
    "mix of truth": (blended("phash = true"), "the weight of phash is True; expected a number of 0 or more"),
    "mix of nothing": (
        blended("phash = 0", "hog = 0.0"),
        "mixes.look: all weights are 0; expected at least one above 0",
    ),
    "empty mix": (blended(), "mixes.look: all weights are 0; expected at least one above 0"),
    # networks
    "network of nothing": ("[models.mine]\ndims = 8\ncrop = 32", "models.mine: has neither 'file' nor 'module'"),
    # tables
    "no table": ("projections = 3", "[projections] must hold a table for each name, found 3"),
    "no table within": ("[combined]\nphash = 1", "[combined] must hold a table for each name"),
}


def test_a_mix_takes_features_of_the_lake_s_own_and_is_none_itself(declared):
    lake = declared(HISTOGRAM + "[mixes]\nlook = {mine = 1, 'phash:hamming_dihedral' = 0.5, hog = 0}\n")
    assert "look" not in known_features(lake)
    assert mix_weights(lake.settings(), "look", ()) == {"mine": 1.0, "phash:hamming_dihedral": 0.5, "hog": 0.0}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_in_one_sentence(declared, text, message):
    lake = declared(text)
    for look in (known_features, chosen_features):
        with pytest.raises((BadSettings, UnknownName)) as caught:
            look(lake)
        assert message in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_listed_feature_suggests_one_of_the_lake(declared):
    lake = declared(HISTOGRAM)
    toy.set_to(lake, features=("phash", "mien"))
    with pytest.raises(UnknownName, match="no feature named 'mien'; did you mean 'mine'"):
        chosen_features(lake)


@pytest.mark.parametrize(
    "kind", ["taken by content vectors", "unknown base", "too many dims", "circle", "negative", "graph of manhattan"]
)
def test_build_refuses_it_before_anything_is_read(declared, imrec, kind):
    text, message = REFUSED[kind]
    lake = declared(text)
    toy.write_photos(lake.root.parent / "photos", range(2))
    before = lake.settings_path.read_text()
    refused = imrec("build", "--lake", lake.root)
    assert refused.status == 1
    assert refused.complaint.startswith("imrec: ") and message in refused.complaint
    assert {path.name for path in lake.root.iterdir()} == {"lake.toml", "version.json"}
    assert lake.settings_path.read_text() == before


def test_build_refuses_more_numbers_than_images_before_any_shard_is_read(declared, imrec):
    lake = declared(projected(dims="8"))
    toy.write_photos(lake.root.parent / "photos", range(7))
    refused = imrec("build", "--lake", lake.root)
    assert refused.status == 1
    assert refused.complaint == "imrec: mine needs at least 8 images to learn from; the lake has 7"
    assert toy.times(lake, "images", "features", "fitted") == {}


# -- changes ------------------------------------------------------------------------------------------------


def test_dropped_declaration_leaves_the_others_alone_and_the_next_generation(declared):
    toy.write_photos(declared("").root.parent / "photos", range(12))
    lake = declared(HISTOGRAM + projected(name="less", base="mine", dims="4"))
    assert toy.build(lake).features == ("phash", "mine", "less")
    before = toy.times(lake, "features")
    lake = declared("")
    assert toy.build(lake).features == ("phash",)
    assert toy.times(lake, "features") == before


@pytest.mark.parametrize(
    ("text", "again"),
    [
        (
            HISTOGRAM.replace("[4, 4, 4]", "[16, 2, 2]") + projected(name="less", base="mine", dims="4"),
            {"mine", "less"},
        ),
        (HISTOGRAM + projected(name="less", base="mine", dims="5"), {"less"}),
        (HISTOGRAM + projected('method = "whitened_pca"', name="less", base="mine", dims="4"), {"less"}),
    ],
    ids=["base", "dims", "method"],
)
def test_changed_declaration_is_recomputed_and_all_that_is_made_of_it(declared, text, again):
    toy.write_photos(declared("").root.parent / "photos", range(12))
    lake = declared(HISTOGRAM + projected(name="less", base="mine", dims="4"))
    toy.build(lake)
    before = toy.times(lake, "features")
    lake = declared(text)
    report = toy.build(lake)
    assert report.features == ("phash", "mine", "less") and report.id == "000002"
    assert toy.rewritten(before, toy.times(lake, "features")) == {f"features/{n}/photos-0000.parquet" for n in again}
