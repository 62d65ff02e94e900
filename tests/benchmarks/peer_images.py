"""Images of a folder, by imrec and by its peers. The process of each loads its own libraries only."""

from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.contenders import Contender, compared, in_turns, running
from tests.benchmarks.rows import Row

if TYPE_CHECKING:
    from tests.benchmarks.testbed import Testbed

_SAMPLE = 40  # files in each turn of the way that takes them one at a time: the same core time each


def measure(work: "Testbed", turns: int) -> list[Row]:
    """Core time per image of imrec, from the scan to the published generation, and of its peers."""
    with running(CONTENDERS, work.folder, work.many) as started:
        taken = in_turns(started, ["run"], turns)["run"]
    spent = {name: [1000 * turn.core_seconds / turn.result for turn in of] for name, of in taken.items()}
    counted = {name: f"{of[0].result} images" for name, of in taken.items()}
    return compared(CONTENDERS, spent, "core-ms", counted)


class Build:
    """A new lake, with the features and the quality of new lakes, built by a plain loop."""

    def __init__(self, folder: Path, photos: Path) -> None:
        from tests.benchmarks.testbed import Testbed, load_networks

        self._work, self._photos, self._turn = Testbed(folder), photos, 0
        load_networks(self._work.new_lake("peers-empty", photos))

    def run(self) -> int:
        """Return the number of images, as all methods of this name do."""
        from imrec_core.index.opening import open_generation
        from tests.benchmarks.testbed import build_plainly

        self._turn += 1
        lake = self._work.new_lake(f"peers-{self._turn}", self._photos)
        build_plainly(lake)
        return len(open_generation(lake))


class OneAtATime:
    """The script of `baseline.py`."""

    def __init__(self, folder: Path, photos: Path) -> None:
        from tests.benchmarks import baseline
        from tests.benchmarks.testbed import spread

        self._describe = baseline.describe
        self._files = spread([path for path in sorted(photos.rglob("*")) if path.is_file()], _SAMPLE)

    def run(self) -> int:
        for file in self._files:
            self._describe(file)
        return len(self._files)


class PHash:
    """Perceptual hashes of imagededup, and all pairs within its default distance."""

    def __init__(self, folder: Path, photos: Path) -> None:
        import logging

        from imagededup.methods import PHash as Hasher

        logging.disable(logging.INFO)
        self._hasher, self._photos = Hasher(verbose=False), str(photos)

    def run(self) -> int:
        return len(self._hasher.find_duplicates(image_dir=self._photos, recursive=True))


class RandomNetwork:
    """The network of imagededup in its architecture and with its transform, whose weights it would download."""

    def __init__(self, folder: Path, photos: Path) -> None:
        import logging

        import torch
        from imagededup.methods import CNN
        from imagededup.utils.models import CustomModel, MobilenetV3
        from torchvision.models import mobilenet_v3_small

        logging.disable(logging.INFO)
        network = mobilenet_v3_small(weights=None).eval()
        pooled = torch.nn.Sequential(network.features, network.avgpool, torch.nn.Flatten())
        config = CustomModel(name=f"{MobilenetV3.name} at random", model=pooled, transform=MobilenetV3.transform)
        self._encoder, self._photos = CNN(verbose=False, model_config=config), str(photos)

    def run(self) -> int:
        return len(self._encoder.encode_images(image_dir=self._photos, recursive=True))


CONTENDERS = (
    Contender("imrec", Build, note="default build, scan to published generation; a plain loop"),
    Contender("one at a time", OneAtATime, note="baseline.py: describes each file, stores and indexes nothing"),
    Contender("imagededup PHash", PHash, "imagededup", "encode_images and find_duplicates: one hash, no network"),
    Contender(
        "imagededup CNN", RandomNetwork, "imagededup", "encode_images, mobilenet_v3_small, RANDOM weights: speed alone"
    ),
)
