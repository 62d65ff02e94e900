"""Nearly blank pages, as a scanner makes them: faint noise, and a few specks and lines."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw


def blank_page(seed: int, width: int = 310, height: int = 400, *, marks: int | None = None) -> Image.Image:
    """Draw a page of its own grain, with up to four marks.

    Args:
        marks: Number of marks; None draws it.
    """
    rng = np.random.default_rng(seed)
    paper = rng.normal(rng.uniform(248, 254), rng.uniform(0.5, 2.0), (height, width))
    page = Image.fromarray(np.clip(np.rint(paper), 0, 255).astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(page)
    for _ in range(int(rng.integers(0, 5)) if marks is None else marks):
        x, y, radius = (int(n) for n in rng.integers((20, 20, 2), (width - 60, height - 20, 6)))
        grey = (int(rng.integers(40, 180)),) * 3
        if rng.random() < 0.3:
            draw.line([x, y, x + 8 * radius, y], fill=grey, width=2)
        else:
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=grey)
    return page


def jpeg(page: Image.Image, quality: int = 90) -> bytes:
    """Encode a page as JPEG."""
    data = io.BytesIO()
    page.save(data, "JPEG", quality=quality)
    return data.getvalue()
