"""What lost no pixel is decoded and marked; what lost some is refused, or decoded on request."""

import struct
import zlib

import numpy as np
import pytest

from imrec_core.errors import TruncatedImage, UnreadableImage
from imrec_core.images.decode import decode
from tests.support.pictures import PICTURES, encode, exif, gradient, noise

JPEGS = {
    "baseline": {"quality": 90},
    "progressive": {"quality": 90, "progressive": True},
    "grey": {"quality": 80},
    "restart": {"quality": 90, "restart_marker_rows": 1},
}


def jpeg(kind: str) -> bytes:
    pixels = noise(96, 64)
    return encode(pixels[..., 0].copy() if kind == "grey" else pixels, "JPEG", **JPEGS[kind])


def chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    check = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", check)


def with_chunk(png: bytes, added: bytes) -> bytes:
    return png[:33] + added + png[33:]  # behind IHDR


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("cut", [1, 2])
def test_jpeg_without_its_end_marker_is_whole(kind, cut):
    whole = jpeg(kind)
    found = decode(whole[:-cut])
    assert found.is_damaged
    assert np.array_equal(found.pixels, decode(whole).pixels)
    assert not decode(whole).is_damaged


def test_cmyk_without_its_end_marker_is_whole():
    whole = PICTURES["cmyk.jpg"]()
    assert decode(whole[:-2]).is_damaged


def test_progressive_jpeg_cut_between_two_scans_is_refused():
    """Libjpeg shows it blurred, without a warning."""
    whole = jpeg("progressive")
    starts = [at for at in range(len(whole) - 1) if whole[at : at + 2] == b"\xff\xda"]
    assert len(starts) > 4
    cut = whole[: whole.rindex(b"\xff\xc4", 0, starts[-1])]
    with pytest.raises(TruncatedImage):
        decode(cut)
    assert decode(cut, allow_truncated=True).is_damaged


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"tIME", b"pHYs", b"eXIf", b"iCCP"])
def test_png_with_a_damaged_comment_is_whole(kind):
    whole = encode(gradient(60, 40), "PNG")
    found = decode(with_chunk(whole, chunk(kind, b"Title\0" + bytes(20), checksum=1)))
    assert found.is_damaged
    assert np.array_equal(found.pixels, decode(whole).pixels)


@pytest.mark.parametrize("kind", [b"tRNS", b"PLTE", b"acTL"])
def test_png_whose_pixels_depend_on_a_damaged_chunk_is_refused(kind):
    damaged = with_chunk(encode(gradient(60, 40), "PNG"), chunk(kind, bytes(8), checksum=1))
    with pytest.raises((TruncatedImage, UnreadableImage)):
        decode(damaged)


def test_png_without_its_end_is_whole():
    whole = encode(gradient(60, 40), "PNG")
    assert decode(whole[:-12]).is_damaged
    assert not decode(whole + b"behind the end").is_damaged


def test_gif_without_its_end_is_whole():
    whole = PICTURES["animation.gif"]()
    assert decode(whole[:-1]).is_damaged
    assert not decode(whole).is_damaged


@pytest.mark.parametrize("name", ["noise.jpg", "stripes.png", "photo.bmp", "grey.jpg"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_cut_image_is_decoded_on_request_alone(name, share):
    whole = PICTURES[name]()
    cut = whole[: int(len(whole) * share)]
    with pytest.raises((TruncatedImage, UnreadableImage)):
        decode(cut)
    found, expected = decode(cut, allow_truncated=True), decode(whole)
    assert found.is_damaged and (found.width, found.height) == (expected.width, expected.height)
    rows = slice(-12, None) if name == "photo.bmp" else slice(12)  # BMP stores the lowest row first
    assert np.abs(found.pixels[rows].astype(int) - expected.pixels[rows]).mean() < 2


def test_nothing_decodes_what_has_no_header():
    for data in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a"):
        with pytest.raises((TruncatedImage, UnreadableImage)):
            decode(data, allow_truncated=True)


# -- orientation, frames, depth ---------------------------------------------------------------------------------


def segment(marker: int, body: bytes, fill: int = 0) -> bytes:
    return b"\xff" * (1 + fill) + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def with_segments(whole: bytes, *segments: bytes) -> bytes:
    return whole[:2] + b"".join(segments) + whole[2:]


@pytest.mark.parametrize(
    "packet", ['tiff:Orientation="6"', "<tiff:Orientation>6</tiff:Orientation>", "tiff:Orientation='6'"]
)
def test_orientation_in_xmp_alone_counts(packet):
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet.encode())
    found = decode(with_segments(encode(gradient(60, 40), "JPEG"), xmp))
    assert (found.width, found.height, found.orientation) == (40, 60, 6)


@pytest.mark.parametrize("fill", [1, 2, 7])
def test_orientation_behind_fill_bytes_counts(fill):
    block = segment(0xE1, exif(6).tobytes(), fill)
    found = decode(with_segments(encode(gradient(60, 40), "JPEG"), block))
    assert (found.width, found.height, found.orientation) == (40, 60, 6)


def test_exif_counts_before_xmp():
    xmp = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0tiff:Orientation="3"')
    found = decode(with_segments(encode(gradient(60, 40), "JPEG"), segment(0xE1, exif(6).tobytes()), xmp))
    assert found.orientation == 6


def test_frames_are_counted():
    from PIL import Image

    pages = [Image.fromarray(noise(32, 24, seed=i)) for i in range(3)]
    for file_format in ("TIFF", "GIF", "WEBP", "PNG", "MPO"):
        data = encode(pages[0], file_format, save_all=True, append_images=pages[1:])
        assert decode(data).frames == 3, file_format
    assert decode(encode(pages[0], "JPEG")).frames == 1


@pytest.mark.parametrize(
    ("pixels", "file_format", "options", "bits"),
    [
        (noise(32, 24), "JPEG", {}, 8),
        (noise(32, 24)[..., 0].copy().astype(np.uint16) * 257, "PNG", {}, 16),
        (noise(32, 24)[..., 0].copy().astype(np.uint16) * 257, "TIFF", {}, 16),
        (noise(32, 24)[..., 0].copy().astype(np.float32), "TIFF", {}, 32),
        (noise(32, 24), "AVIF", {}, 8),
        (noise(32, 24), "JPEG2000", {}, 8),
        (noise(32, 24)[..., 0] > 99, "PNG", {}, 1),
    ],
)
def test_bit_depth_is_that_of_the_file(pixels, file_format, options, bits):
    assert decode(encode(pixels, file_format, **options)).bit_depth == bits
