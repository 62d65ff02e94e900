"""Run the notebook of the tour and save it with its outputs: `make tour`.

The outputs are saved, as many viewers of a notebook do not run it. They are small images of the demo photos.
"""

import base64
import io
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from ipykernel.kernelspec import write_kernel_spec
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).parent.parent
TOUR = ROOT / "docs" / "tour.ipynb"

_SECONDS = 300  # time limit of a cell


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run the cells of a notebook in a folder, with this Python and this imrec, and return it with their outputs.

    Raises:
        CellExecutionError: A cell failed.
    """
    kernels = folder / "kernels"
    # Suppresses a warning that other users of this machine may connect.
    write_kernel_spec(str(kernels / "python3"), extra_arguments=["--log-level=ERROR"])
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(kernels)])
    )
    client = NotebookClient(notebook, km=manager, timeout=_SECONDS, resources={"metadata": {"path": str(folder)}})
    settings = {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", "IMREC_LAKE")}
    return client.execute(env=settings | {"PYTHONPATH": str(ROOT)})


def clean(notebook: NotebookNode) -> NotebookNode:
    """Remove progress, times and versions, which differ between runs, and shrink the images."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = None
                _shrink(output)
    return notebook


def _shrink(output: NotebookNode) -> None:
    """Quantize images to 256 colours, a third of the bytes; drop the text beside an image or HTML."""
    data = output.get("data", {})
    if "image/png" in data:
        file = io.BytesIO()
        image = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        image.thumbnail((900, 900), Image.Resampling.LANCZOS)
        image.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        data["image/png"] = base64.b64encode(file.getvalue()).decode()
        data.pop("image/jpeg", None)  # Pillow adds both
    if {"image/png", "text/html"} & set(data):
        data["text/plain"] = "…"


def main(file: str | None = None) -> None:
    """Run the tour in a temporary folder and save it with its outputs, to a file or in place."""
    target = Path(file) if file else TOUR
    with TemporaryDirectory() as folder:
        executed = clean(run(nbformat.read(TOUR, as_version=4), Path(folder)))
    nbformat.write(executed, target)
    print(f"{target.name}  {target.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main(*sys.argv[1:])
