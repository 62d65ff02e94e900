"""Parsed HTML, for tests of what a browser would show."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

from PIL import Image


class ParsedHtml(HTMLParser):
    """Tags, text and inline images of an HTML fragment."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    @property
    def images(self) -> list[Image.Image]:
        """Decode every image; each must be a JPEG in a data URL."""
        images = []
        for tag, attributes in self.tags:
            if tag == "img":
                kind, _, data = attributes["src"].partition(";base64,")
                assert kind == "data:image/jpeg"
                images.append(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
        return images
