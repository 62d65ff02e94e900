"""The position is read from EXIF and XMP of every format; one that is damaged or makes no sense is none."""

import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin, features

from imrec_core.images import exif
from imrec_core.images.decode import decode
from imrec_core.images.header import read_header
from imrec_core.images.jpeg_segments import read_segments
from tests.images.test_exif import handmade
from tests.support.pictures import PICTURES, encode, gradient

MAKE, ORIENTATION, GPS = 0x10F, 0x112, 0x8825
PARIS = {1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 21.0, 3.6)}
FORMATS = ["JPEG", "PNG", "WEBP", *(["AVIF"] if features.check("avif") else [])]
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description {}/></x:xmpmeta>'


def block(tags: dict[int, object]) -> Image.Exif:
    found = Image.Exif()
    found[MAKE] = "Canon"
    found.get_ifd(GPS).update(tags)
    return found


def position(tags: dict[int, object], file_format: str = "JPEG"):
    data = encode(gradient(32, 24), file_format, exif=block(tags))
    found = decode(data).shot.position
    assert read_header(data).position == found
    return found


@pytest.mark.parametrize("file_format", FORMATS)
def test_position_is_read_from_every_format(file_format):
    assert position(PARIS, file_format) == pytest.approx((48.858333, 2.351))


def test_tiff_has_its_position_among_its_own_tags():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[GPS] = PARIS
    data = encode(gradient(32, 24), "TIFF", tiffinfo=tags)
    assert decode(data).shot.position == read_header(data).position == pytest.approx((48.858333, 2.351))


@pytest.mark.parametrize("name", PICTURES)
def test_file_without_a_position_has_none(name):
    assert decode(PICTURES[name]()).shot.position is None


@pytest.mark.parametrize(
    ("latitude", "longitude", "signs"),
    [("N", "E", (1, 1)), ("N", "W", (1, -1)), ("S", "E", (-1, 1)), ("S", "W", (-1, -1)), ("s", " w\0", (-1, -1))],
)
def test_south_and_west_are_negative(latitude, longitude, signs):
    expected = (signs[0] * 48.858333, signs[1] * 2.351)
    assert position(PARIS | {1: latitude, 3: longitude}) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({2: (90.0, 0.0, 0.0), 4: (180.0, 0.0, 0.0)}, (90, 180)),
        ({2: (48.0, 51.5), 4: (2.0, 21.06)}, (48.858333, 2.351)),
        ({2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)}, (0, 0)),
        ({1: "S", 2: (0.0, 0.0, 0.0)}, (0, 2.351)),
        ({9: "V"}, (48.858333, 2.351)),  # the last position that the receiver had
    ],
)
def test_unusual_positions_count(tags, expected):
    assert position(PARIS | tags) == pytest.approx(expected)


@pytest.mark.parametrize(
    "tags",
    [
        {1: None},
        {3: None},
        {2: None},
        {4: None},
        {1: "E"},
        {1: ""},
        {1: "NN"},
        {2: (91.0, 0.0, 0.0)},
        {2: (90.0, 0.0, 1.0)},
        {4: (180.0, 1.0, 0.0)},
        {2: (48.0, 61.0, 0.0)},
        {2: (48.0, 0.0, 3000.0)},
        {2: (48.0,)},
        {2: (48.0, 51.0, 30.0, 1.0)},
        {2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0), 9: "V"},
    ],
    ids=str,
)
def test_incomplete_or_absurd_position_is_none(tags):
    assert position({tag: value for tag, value in (PARIS | tags).items() if value is not None}) is None


def gps_block(latitude: bytes, kind: int, count: int) -> bytes:
    """A JPEG whose GPS IFD has a latitude as given, true or not; it lies behind the main IFD at 26."""
    values = 26 + 2 + 4 * 12 + 4
    longitude = struct.pack("<6I", 2, 1, 21, 1, 36, 10)
    entries = [
        (1, 2, 2, b"N\0\0\0"),
        (2, kind, count, struct.pack("<I", values + len(longitude))),
        (3, 2, 2, b"E\0\0\0"),
        (4, 5, 3, struct.pack("<I", values)),
    ]
    table = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, GPS, 4, 1, 26) + bytes(4)
    tiff += struct.pack("<H", 4) + table + bytes(4) + longitude + latitude
    return encode(gradient(32, 24), "JPEG", exif=b"Exif\0\0" + tiff)


def test_fractions_are_read():
    data = gps_block(struct.pack("<6I", 48, 1, 51, 1, 300, 10), 5, 3)
    assert decode(data).shot.position == pytest.approx((48.858333, 2.351))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("latitude", "kind", "count"),
    [
        (struct.pack("<6I", 48, 0, 51, 1, 30, 1), 5, 3),
        (struct.pack("<6I", 0, 0, 0, 0, 0, 0), 5, 3),
        (struct.pack("<6I", 48, 1, 51, 1, 30, 0), 5, 3),
        (struct.pack("<6i", -48, 1, 51, 1, 30, 1), 10, 3),
        (struct.pack("<3d", float("nan"), 0, 0), 12, 3),
        (struct.pack("<3d", float("inf"), 0, 0), 12, 3),
        (struct.pack("<6I", 48, 1, 51, 1, 30, 1), 5, 60_000),
        (b"48 51 30\0", 2, 9),
        (bytes([48, 51, 30, 0, 0]), 1, 5),
        (b"", 5, 3),
    ],
    ids=["degrees/0", "0/0", "seconds/0", "negative", "nan", "inf", "too many", "text", "bytes", "cut"],
)
def test_damaged_latitude_is_none(latitude, kind, count):
    data = gps_block(latitude, kind, count)
    assert decode(data).shot.position is None
    assert read_header(data).position is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", [(GPS, 4, 1, struct.pack("<I", 60_000)), (GPS, 2, 4, b"abc\0"), (GPS, 4, 1, b"\x08")])
def test_pointer_to_nowhere_costs_the_position_alone(entry):
    found = decode(handmade([(ORIENTATION, 3, 1, struct.pack("<H", 8)), entry])).shot
    assert (found.orientation, found.position) == (8, None)


@pytest.mark.filterwarnings("ignore")
def test_random_damage_never_raises():
    rng = np.random.default_rng(0)
    content = encode(gradient(32, 24), "JPEG", exif=block(PARIS))
    start = content.index(b"Exif")
    for _ in range(300):
        damaged = bytearray(content)
        for at in rng.integers(start, start + 180, 4):
            damaged[at] = rng.integers(256)
        found = exif.of_jpeg(read_segments(bytes(damaged))).position
        assert found is None or (abs(found[0]) <= 90 and abs(found[1]) <= 180)


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('exif:GPSLatitude="48,51.5N" exif:GPSLongitude="2,21.06E"', (48.858333, 2.351)),
        ("exif:GPSLatitude='48,51,30S' exif:GPSLongitude = '2,21,3.6W'", (-48.858333, -2.351)),
        ("><exif:GPSLatitude>48,51.5N</x><exif:GPSLongitude>2,21.06E</x", (48.858333, 2.351)),
        ('exif:GPSLatitude="48,51.5N"', None),
        ('exif:GPSLatitude="98,51.5N" exif:GPSLongitude="2,21.06E"', None),
        ('exif:GPSLatitude="48,51.5E" exif:GPSLongitude="2,21.06E"', None),
        ('exif:GPSLatitude="" exif:GPSLongitude=""', None),
        ('exif:GPSStatus="V" exif:GPSLatitude="0,0.0N" exif:GPSLongitude="0,0.0E"', None),
    ],
)
def test_xmp_tells_the_position_where_exif_does_not(file_format, attributes, expected):
    data = encode(gradient(32, 24), file_format, xmp=XMP.format(attributes).encode())
    found = decode(data).shot.position
    assert read_header(data).position == found
    assert found == (expected and pytest.approx(expected))


def test_position_of_exif_comes_before_that_of_xmp():
    xmp = XMP.format('exif:GPSLatitude="10,0N" exif:GPSLongitude="20,0E"').encode()
    found = decode(encode(gradient(32, 24), "JPEG", xmp=xmp, exif=block(PARIS))).shot
    assert found.position == pytest.approx((48.858333, 2.351))


def with_late_exif(png: bytes) -> bytes:
    """Move the chunk eXIf of a PNG file behind its pixels."""
    at = png.index(b"eXIf") - 4
    size = 12 + int.from_bytes(png[at : at + 4], "big")
    end = png.index(b"IEND") - 4
    return png[:at] + png[at + size : end] + png[at : at + size] + png[end:]


@pytest.mark.parametrize("late", [False, True])
def test_header_of_a_png_is_read_without_its_pixels(monkeypatch, late):
    loads: list[object] = []
    load = PngImagePlugin.PngImageFile.load
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda image: loads.append(image) or load(image))
    read_header(encode(gradient(32, 24), "PNG"))
    data = encode(gradient(32, 24), "PNG", exif=block(PARIS))
    found = read_header(with_late_exif(data) if late else data)
    assert found.position == pytest.approx((48.858333, 2.351))
    assert len(loads) == late
