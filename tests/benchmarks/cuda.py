"""Extraction by a network on CUDA devices: images per second, how busy the devices are, and how near the vectors are.

    python -m tests.benchmarks.cuda FOLDER [--images 20000] [--feature NAME] [--devices LIST]...

Each list of devices extracts a lake of its own from the photos of the folder, which are repeated where they are fewer.
Without --devices these are the first device and, if there are several, all. The photos are read once before, and
cosines are those to fp32 by torch on the CPU. Without a CUDA device nothing is measured and the exit status is 1.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

from imrec_core.catalog import manifests
from imrec_core.errors import DeclarationError
from imrec_core.extraction.extract import extract_shards
from imrec_core.features import find_feature
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode
from imrec_core.lake.settings import Settings
from imrec_core.models.device_names import parse_devices
from imrec_core.models.encoders import encoder_of
from imrec_core.models.model import Model
from imrec_core.models.torch_encoder import TorchEncoder
from tests.benchmarks.rows import Row, machine, table
from tests.benchmarks.testbed import Testbed

_COMPARED = 64  # images, in fp32 on the CPU
_SECONDS = 0.5  # between two looks at the devices


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cuda")
    parser.add_argument("folder", type=Path, help="of photos")
    parser.add_argument("--images", type=int, default=20_000, help="files to extract (default %(default)s)")
    parser.add_argument("--feature", default="efficientnet_lite0", help="a network (default %(default)s)")
    parser.add_argument("--devices", action="append", metavar="LIST", help="such as cuda:0,cuda:1; repeatable")
    asked = parser.parse_args()
    if not asked.folder.is_dir():
        parser.error(f"{asked.folder} is no folder")
    if asked.images < 1:
        parser.error("--images must be 1 or more")
    try:
        lists = [parse_devices(text) for text in asked.devices or []]
    except DeclarationError as error:
        parser.error(str(error))

    import torch

    if not torch.cuda.is_available():
        print("there is no CUDA device: nothing was measured", file=sys.stderr)
        return 1
    every = tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
    lists = lists or list(dict.fromkeys([every[:1], every]))
    facts = machine() | {name: torch.cuda.get_device_name(name) for name in every}
    print("\n".join(f"{name:<9} {value}" for name, value in facts.items()))
    with tempfile.TemporaryDirectory(prefix="imrec-cuda-") as folder:
        work = Testbed(Path(folder), asked.folder, asked.images)
        for names in lists:
            print(f"\n{','.join(names)}\n{table(_measured(work, asked.feature, names))}", flush=True)
    return 0


def _measured(work: Testbed, name: str, devices: tuple[str, ...]) -> list[Row]:
    """Extract one lake on some devices, after the network was loaded and the photos were read."""
    text, feature = ",".join(devices), find_feature(name)
    if feature.model is None:
        raise DeclarationError(f"{name} is not an embedding of a network")
    lake = work.new_lake(text.replace(":", "").replace(",", "_"), work.many)
    lake.save_settings(replace(lake.settings(), features=(name,)))
    manifests.update(lake)
    encoder = encoder_of(feature.model, lake.settings(), text)
    cosines = _cosines(feature.model, lake.settings(), text, work.sample(_COMPARED))
    with _utilisation(devices) as seen:
        started = perf_counter()
        images = sum(report.rows for report in extract_shards(lake, lake.live_shards(), [feature], device=text))
        seconds = perf_counter() - started
    return [
        Row("extraction", images / seconds, "images/s", f"{images} images, batches of {encoder.batch}"),
        Row(
            "mean utilisation", float(np.mean(seen)) if seen else np.nan, "%", "" if seen else "no answer of nvidia-smi"
        ),
        Row(f"least cosine of {encoder.precision} to fp32", float(cosines.min()), "", f"{len(cosines)} images"),
        Row(f"mean cosine of {encoder.precision} to fp32", float(cosines.mean())),
    ]


def _cosines(model: Model, settings: Settings, devices: str, paths: list[Path]) -> np.ndarray:
    pixels = ImageBatch([decode(path.read_bytes(), min_side=256).pixels for path in paths]).prepared(model.preprocess)
    found, exact = encoder_of(model, settings, devices)(pixels), TorchEncoder(model, "cpu", "fp32")(pixels)
    return (found * exact).sum(axis=1)


@contextmanager
def _utilisation(devices: tuple[str, ...]) -> Iterator[list[float]]:
    """Collect, until the block ends, the percentages of time in which each CUDA device computed."""
    import torch

    seen: list[float] = []
    ended = threading.Event()
    known = [f"GPU-{torch.cuda.get_device_properties(name).uuid}" for name in devices if name.startswith("cuda")]

    def look() -> None:
        while not ended.wait(_SECONDS):
            seen.extend(_percentages(known))

    thread = threading.Thread(target=look, daemon=True)
    if known and shutil.which("nvidia-smi"):
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()


def _percentages(known: list[str]) -> list[float]:
    """Ask nvidia-smi, which counts devices in another order than torch, by their identifiers."""
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", ",".join(known)]
    lines = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    return [float(line) for line in lines if line.strip().isdecimal()]


if __name__ == "__main__":
    sys.exit(main())
