"""Bytes become upright RGB pictures or the right error; a batch shares its work and leaves its pictures alone."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from imrec_core.errors import (
    DeclarationError,
    ImageTooLarge,
    TruncatedImage,
    UnreadableImage,
    UnsupportedFormat,
)
from imrec_core.images import rgb as rgb_module
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import FORMATS, decode
from imrec_core.images.preprocess import Preprocess
from imrec_core.images.rgb import from_pillow
from tests.support.pictures import BROKEN, PICTURES, disc, encode, exif, gradient, noise, stripes

SIZES = {
    "gradient.jpg": ("JPEG", 160, 120),
    "stripes.png": ("PNG", 120, 90),
    "disc.webp": ("WEBP", 128, 96),
    "noise.jpg": ("JPEG", 320, 240),
    "one_pixel.png": ("PNG", 1, 1),
    "cmyk.jpg": ("JPEG", 96, 64),
    "sixteen_bit.png": ("PNG", 64, 48),
    "grey.jpg": ("JPEG", 120, 90),
    "alpha.png": ("PNG", 80, 60),
    "palette.png": ("PNG", 96, 64),
    "exif_6.jpg": ("JPEG", 200, 120),
    "animation.gif": ("GIF", 80, 60),
    "big.jpg": ("JPEG", 1600, 1200),
    "photo.tif": ("TIFF", 150, 100),
    "photo.bmp": ("BMP", 100, 75),
    "photo.avif": ("AVIF", 120, 80),
}
ERRORS = {
    "truncated.jpg": TruncatedImage,
    "empty.jpg": UnreadableImage,
    "text.jpg": UnreadableImage,
    "huge_header.png": ImageTooLarge,
    "half.webp": TruncatedImage,
    "damaged.jpg": TruncatedImage,
}

# How a camera held that way would store an upright picture, by EXIF tag.
HELD = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 3),
}


def rgb(picture) -> np.ndarray:
    return picture.pixels[..., :3].astype(int)


def off(one, other) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


# -- verdicts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
def test_good_picture_decodes_at_its_size(name):
    picture = decode(PICTURES[name]())
    assert (picture.format, picture.width, picture.height) == SIZES[name]
    assert picture.pixels.shape == (picture.height, picture.width, 4)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.c_contiguous
    assert picture.orientation == (6 if name == "exif_6.jpg" else 1)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_gets_its_own_error(name):
    with pytest.raises(ERRORS[name]) as caught:
        decode(BROKEN[name]())
    assert type(caught.value) is ERRORS[name]


@pytest.mark.parametrize("name", [name for name in PICTURES if name not in ("one_pixel.png", "animation.gif")])
@pytest.mark.parametrize("share", [0.3, 0.55, 0.8])
def test_picture_that_breaks_off_fails_and_is_not_filled_up(name, share):
    content = PICTURES[name]()
    with pytest.raises((TruncatedImage, UnreadableImage)):
        decode(content[: int(len(content) * share)])


def test_progressive_jpeg_that_breaks_off_fails():
    content = encode(noise(160, 120), "JPEG", quality=90, progressive=True)
    assert decode(content).width == 160
    with pytest.raises(TruncatedImage):
        decode(content[: len(content) * 2 // 3])


@pytest.mark.parametrize("name", ["noise.jpg", "stripes.png", "disc.webp"])
def test_bytes_behind_the_end_do_no_harm(name):
    content = PICTURES[name]()
    assert np.array_equal(rgb(decode(content + b"\0" * 16 + b"appended")), rgb(decode(content)))


def test_jpeg_padded_before_its_end_marker_is_fine():
    content = PICTURES["noise.jpg"]()
    padded = content[:-2] + bytes(6) + content[-2:]
    assert off(rgb(decode(padded)), rgb(decode(content))) < 1


def test_compression_that_nothing_here_reads_is_unsupported():
    bmp = bytearray(PICTURES["photo.bmp"]())
    bmp[30:34] = struct.pack("<I", 5)  # "compressed as PNG", which no reader takes
    with pytest.raises(UnsupportedFormat):
        decode(bytes(bmp))


# -- size limit ---------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as users run it: a warning stops nothing
def test_limit_is_applied_before_anything_is_decoded(monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *_, **__: pytest.fail("decoded"))
    for name in ("noise.jpg", "cmyk.jpg", "stripes.png", "disc.webp", "photo.bmp"):
        with pytest.raises(ImageTooLarge):
            decode(PICTURES[name](), max_pixels=6143)


@pytest.mark.parametrize("max_pixels", [10_000_000, 2_000_000_000])  # the one is refused by Pillow, the other by us
def test_huge_header_is_reported_in_megapixels_with_the_setting_to_change(max_pixels, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # raised by the larger one
    with pytest.raises(ImageTooLarge, match=rf"3600 megapixels, the limit is {max_pixels // 10**6} .*max_pixels"):
        decode(BROKEN["huge_header.png"](), max_pixels=max_pixels)


@pytest.mark.parametrize("name", ["noise.jpg", "stripes.png"])
def test_picture_of_just_the_limit_passes_and_one_pixel_less_is_refused(name):
    content = PICTURES[name]()
    _, width, height = SIZES[name]
    assert decode(content, max_pixels=width * height).width == width
    with pytest.raises(ImageTooLarge):
        decode(content, max_pixels=width * height - 1)


def test_limit_of_one_picture_is_not_that_of_others_who_use_pillow(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000_000)
    with pytest.raises(ImageTooLarge):
        decode(PICTURES["stripes.png"](), max_pixels=10)
    with Image.open(io.BytesIO(PICTURES["stripes.png"]())) as picture:
        picture.load()
    assert Image.MAX_IMAGE_PIXELS == 10_000_000


# -- orientation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", HELD)
@pytest.mark.parametrize(
    ("file_format", "options", "tolerance"),
    [("JPEG", {"quality": 95}, 2), ("PNG", {}, 0), ("WEBP", {"lossless": True}, 0), ("TIFF", {}, 0)],
    ids=["jpeg", "png", "webp", "tiff"],
)
def test_each_orientation_comes_out_upright(orientation, file_format, options, tolerance):
    upright = gradient(60, 40)
    content = encode(HELD[orientation](upright).copy(), file_format, exif=exif(orientation), **options)
    picture = decode(content)
    assert (picture.width, picture.height, picture.orientation) == (60, 40, orientation)
    assert off(rgb(picture), upright) <= tolerance


def test_pillow_image_with_a_tag_comes_out_upright():
    upright = gradient(60, 40)
    image = Image.fromarray(HELD[8](upright).copy())
    image.getexif().update(exif(8))
    assert np.array_equal(from_pillow(image)[..., :3], upright)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("block", [b"no exif at all", b"Exif\0\0II*\0\xff\xff\xff\x7f"], ids=["garbage", "bad offset"])
def test_damaged_exif_block_costs_the_turn_not_the_picture(file_format, block):
    picture = decode(encode(gradient(60, 40), file_format, exif=block))
    assert (picture.width, picture.height, picture.orientation) == (60, 40, 1)


def test_orientation_that_is_no_orientation_is_one():
    assert decode(encode(gradient(60, 40), "JPEG", exif=exif(9))).orientation == 1


# -- colours ------------------------------------------------------------------------------------------------


def test_clear_parts_lie_over_white():
    picture = rgb(decode(PICTURES["alpha.png"]()))
    assert (picture[:, :40] == 255).all()
    assert (picture[:, 40:] == [10, 120, 200]).all()


def test_half_clear_is_half_white():
    pixels = np.full((4, 4, 4), [0, 100, 200, 128], np.uint8)
    assert off(rgb(decode(encode(pixels, "PNG")))[0, 0], [127, 177, 227]) <= 1


def test_clear_palette_entry_lies_over_white():
    picture, drawn = rgb(decode(PICTURES["palette.png"]())), stripes(96, 64)
    red = (drawn == drawn[0, 0]).all(axis=-1)
    assert (picture[red] == 255).all()
    assert (picture[~red] == drawn[~red]).all()


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_keeps_the_high_byte(file_format):
    values = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21
    picture = rgb(decode(encode(values, file_format)))
    assert (picture == (values >> 8)[..., None]).all()


def test_floating_point_goes_from_least_to_greatest():
    values = np.linspace(-3, 5, 64 * 48, dtype=np.float32).reshape(48, 64)
    picture = rgb(decode(encode(values, "TIFF")))
    assert (picture[0, 0] == 0).all()
    assert (picture[-1, -1] == 255).all()
    assert (np.diff(picture[..., 0].ravel()) >= 0).all()


def test_cmyk_has_the_colours_of_the_rgb_it_came_from():
    assert off(rgb(decode(PICTURES["cmyk.jpg"]())), gradient(96, 64)) < 3


def test_grey_picture_has_three_equal_channels():
    picture = rgb(decode(PICTURES["grey.jpg"]()))
    assert np.ptp(picture, axis=2).max() == 0
    assert off(picture[..., 0], noise(120, 90, seed=1)[..., 1]) < 4


def test_first_frame_of_an_animation_is_taken():
    picture = rgb(decode(PICTURES["animation.gif"]()))
    assert off(picture, disc(80, 60)) < off(picture, stripes(80, 60)) / 10


# -- smaller on request -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("min_side", "size"),
    [(1201, (1600, 1200)), (1200, (1600, 1200)), (601, (1600, 1200)), (600, (800, 600)), (256, (400, 300))],
)
def test_big_jpeg_shrinks_only_from_twice_the_side_needed(min_side, size):
    picture = decode(PICTURES["big.jpg"](), min_side=min_side)
    assert picture.pixels.shape[1::-1] == size
    assert (picture.width, picture.height) == (1600, 1200)


def test_turned_jpeg_shrinks_to_the_right_side_and_tells_its_full_size():
    picture = decode(PICTURES["exif_6.jpg"](), min_side=50)
    assert picture.pixels.shape == (60, 100, 4)
    assert (picture.width, picture.height) == (200, 120)
    assert off(rgb(picture), np.asarray(Image.fromarray(noise(200, 120, seed=2)).reduce(2))) < 6


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "RGB", "RGBA"])
def test_giant_of_any_mode_shrinks_but_not_below_the_side_needed(mode, monkeypatch):
    monkeypatch.setattr(rgb_module, "LARGE", 1000)
    picture = Image.fromarray(noise(400, 300))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) << 8)
    content = encode(picture.convert(mode), "PNG")
    small, full = decode(content, min_side=50), decode(content)
    assert 50 <= min(small.pixels.shape[:2]) <= 150
    assert (small.width, small.height) == (400, 300) == (full.width, full.height)
    assert off(rgb(small).mean(axis=(0, 1)), rgb(full).mean(axis=(0, 1))) < 2


def test_picture_that_is_no_jpeg_and_no_giant_stays_as_it_is():
    assert decode(PICTURES["photo.bmp"](), min_side=10).pixels.shape == (75, 100, 4)


# -- batches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_batch_refuses_what_is_no_rgb_picture(image):
    with pytest.raises(DeclarationError, match=r"expected uint8 \(height, width, 3\)"):
        ImageBatch([noise(8, 8), image])


@pytest.fixture
def batch() -> ImageBatch:
    return ImageBatch([noise(97, 61), gradient(60, 130), np.full((1, 1, 3), [9, 8, 7], np.uint8)])


PREPROCESS = Preprocess(resize=64, crop=56, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def test_nothing_that_a_batch_computes_changes_its_pictures(batch):
    before = [image.copy() for image in batch.images]
    given = noise(97, 61)
    ImageBatch([given]).prepared(PREPROCESS)
    assert np.array_equal(given, noise(97, 61))
    _ = batch.grey, batch.colour_counts, batch.pillow, batch.resized(16, 8), batch.prepared(PREPROCESS)
    assert all(np.array_equal(a, b) for a, b in zip(before, batch.images, strict=True))


def test_four_channel_pixels_of_decode_are_taken_without_the_fourth():
    picture = decode(PICTURES["noise.jpg"]())
    (image,) = ImageBatch([picture.pixels]).images
    assert image.shape == (240, 320, 3)
    assert np.shares_memory(image, picture.pixels)


def test_grey_is_what_pillow_calls_l(batch):
    for grey, image in zip(batch.grey, batch.images, strict=True):
        assert np.array_equal(grey, np.asarray(Image.fromarray(image.copy()).convert("L")))


def test_colour_counts_put_every_pixel_into_its_bin(batch):
    assert batch.colour_counts.shape == (3, 32, 32, 32)
    for counts, image in zip(batch.colour_counts, batch.images, strict=True):
        oracle = np.zeros((32, 32, 32), int)
        np.add.at(oracle, tuple((image // 8).reshape(-1, 3).T), 1)
        assert np.array_equal(counts, oracle)
        assert counts.sum() == image.shape[0] * image.shape[1]


def test_resized_averages_over_areas():
    pixels = noise(96, 64)
    averages = pixels.reshape(8, 8, 12, 8, 3).mean(axis=(1, 3))
    assert np.abs(ImageBatch([pixels]).resized(12, 8)[0] - averages).max() <= 1


def test_prepared_equals_resizing_and_then_cutting_out_the_centre():
    for pixels in (noise(320, 240), noise(240, 321, seed=1), noise(64, 64, seed=2)):
        (prepared,) = ImageBatch([pixels]).prepared(PREPROCESS)
        image = Image.fromarray(pixels)
        scale = PREPROCESS.resize / min(image.size)
        width, height = (round(length * scale) for length in image.size)
        resized = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - PREPROCESS.crop) // 2, (height - PREPROCESS.crop) // 2
        oracle = resized.crop((left, top, left + PREPROCESS.crop, top + PREPROCESS.crop))
        assert prepared.shape == (56, 56, 3)
        assert off(prepared, np.asarray(oracle)) < 3


def test_shared_work_is_done_once(batch):
    assert batch.resized(16, 8) is batch.resized(16, 8)
    assert batch.resized(16, 8).shape == (3, 8, 16, 3)
    assert batch.resized(8, 16).shape == (3, 16, 8, 3)
    assert batch.prepared(PREPROCESS) is batch.prepared(PREPROCESS)
    assert batch.grey is batch.grey
    assert batch.cached("a key", list) is batch.cached("a key", lambda: pytest.fail("made twice"))


def test_batch_of_none_has_empty_results():
    empty = ImageBatch([])
    assert len(empty) == 0
    assert empty.resized(8, 8).shape == (0, 8, 8, 3)
    assert empty.colour_counts.shape == (0, 32, 32, 32)


def test_png_whose_checksum_does_not_hold_is_damaged():
    content = bytearray(encode(gradient(60, 40), "PNG"))
    content[content.index(b"IDAT") + 10] ^= 1
    with pytest.raises(TruncatedImage):
        decode(bytes(content))


def test_only_well_known_formats_are_decoded():
    """Of Pillow's others some start programs, and none is needed."""
    with pytest.raises(UnreadableImage, match="not an image"):
        decode(encode(gradient(32, 24), "PCX"))
    with pytest.raises(UnreadableImage, match="not an image"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\n")


@pytest.mark.parametrize("name", PICTURES)
def test_formats_of_uploads_are_those_that_are_scanned(name):
    assert decode(PICTURES[name]()).format in FORMATS
