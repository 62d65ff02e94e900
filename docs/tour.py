"""Run the tour and keep what it showed: `make tour`.

Its outputs are kept, as people look at it where nothing runs. They are small pictures of the demo photos.
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

_SECONDS = 300  # a cell may take


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """The notebook with what its cells show when they are run in a folder, by this Python and this imrec.

    Raises:
        CellExecutionError: A cell failed.
    """
    kernels = folder / "kernels"
    # Without its warning that others of this machine may listen.
    write_kernel_spec(str(kernels / "python3"), extra_arguments=["--log-level=ERROR"])
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(kernels)])
    )
    client = NotebookClient(notebook, km=manager, timeout=_SECONDS, resources={"metadata": {"path": str(folder)}})
    settings = {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", "IMREC_LAKE")}
    return client.execute(env=settings | {"PYTHONPATH": str(ROOT)})


def cleaned(notebook: NotebookNode) -> NotebookNode:
    """Without what differs from run to run or is not to be seen: progress, times, versions; with smaller pictures."""
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
    """A picture in 256 colours of its own, a third of the bytes; no text where there is something better."""
    data = output.get("data", {})
    if "image/png" in data:
        file = io.BytesIO()
        picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        picture.thumbnail((900, 900), Image.Resampling.LANCZOS)
        picture.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        data["image/png"] = base64.b64encode(file.getvalue()).decode()
        data.pop("image/jpeg", None)  # Pillow gives both
    if {"image/png", "text/html"} & set(data):
        data["text/plain"] = "…"


def main(file: str | None = None) -> None:
    """Run the tour in a folder of its own and write it, with what it showed, to a file or back."""
    written = Path(file) if file else TOUR
    with TemporaryDirectory() as folder:
        shown = cleaned(run(nbformat.read(TOUR, as_version=4), Path(folder)))
    nbformat.write(shown, written)
    print(f"{written.name}  {written.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main(*sys.argv[1:])
