"""Measure the ranges of activations of EfficientNet-Lite0 on the demo photos, and write them beside its declaration.

Run as `python -m tests.benchmarks.ranges`.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from imrec_core.errors import ImageError
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import DecodedImage, decode
from imrec_core.images.sample_photos import prepare
from imrec_core.models.openvino import REQUEST, from_torch
from imrec_core.models.quality import with_quality
from imrec_core.models.quantization import measure_ranges, ranges_file
from imrec_core.models.registry import MODELS

_NETWORK, _QUALITY = "efficientnet_lite0", "balanced"
_DIGITS = 6


def main() -> None:
    model = with_quality(MODELS[_NETWORK], _QUALITY)
    with TemporaryDirectory() as folder:
        prepare(Path(folder))
        images = [_decoded(path) for path in sorted(Path(folder).glob("*.*"))]
    pixels = ImageBatch([image.pixels for image in images if image is not None]).prepared(model.preprocess)
    whole = len(pixels) // REQUEST * REQUEST
    measured = measure_ranges(from_torch(model, REQUEST), (pixels[i : i + REQUEST] for i in range(0, whole, REQUEST)))
    rounded = {name: [round(limit, _DIGITS) for limit in limits] for name, limits in measured.items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(limits)}" for name, limits in rounded.items())
    file = ranges_file(_NETWORK)
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{{\n{lines}\n}}\n")


def _decoded(path: Path) -> DecodedImage | None:
    try:
        return decode(path.read_bytes(), min_side=256)
    except ImageError:
        return None


if __name__ == "__main__":
    main()
