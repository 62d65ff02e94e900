"""Which of two matching images is called the original: a photo, or what was made of it."""

import numpy as np
from PIL import Image

from imrec_core.duplicates.block_input import BlockInput
from imrec_core.duplicates.comparison import Comparison, compare_contents
from imrec_core.duplicates.derivation import Derivation
from imrec_core.duplicates.pixel_hash import pixel_hash
from imrec_core.images.decode import decode
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed
from tests.support.derived import MADE

_PHOTOS = 60


def measure(work: Testbed) -> list[Row]:
    """Share of the matching pairs of which the original is told, and number of wrong answers, by what was made."""
    paths = sorted(path for path in work.photos.rglob("*.jpg") if "broken" not in path.parts)
    photos = [path.read_bytes() for path in paths[:: max(len(paths) // _PHOTOS, 1)][:_PHOTOS]]
    rows = []
    for name, (make, change) in MADE.items():
        found = [_compared(data, make(_opened(data))) for data in photos]
        answers = [one.derivation for one in found if one.tier is not None]
        told = sum(answer == Derivation(0, str(change)) for answer in answers)
        wrong = sum(answer is not None for answer in answers) - told
        if change is not None:
            rows.append(Row(f"{name}: told", told / max(len(answers), 1), "", f"of {len(answers)} pairs that match"))
        rows.append(Row(f"{name}: wrong", wrong, "pairs", f"of {len(answers)} that match", at_most=0))
    return rows


def _opened(data: bytes) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(decode(data).pixels[..., :3]))


def _compared(first: bytes, second: bytes) -> Comparison:
    a, b = (BlockInput.of_source(lambda data=data: data) for data in (first, second))
    return compare_contents(a, b, "edited", lambda image: pixel_hash(image.read_bytes(), image.max_pixels))
