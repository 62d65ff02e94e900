"""Downloads of single images by HTTP, bounded in bytes and time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from imrec_core.errors import ImageTooLarge, MissingDependency, UnreadableImage

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 256_000_000
"""Largest download, after decompression."""

SECONDS = 60.0
"""Longest time for a download, redirects included."""

_SILENCE = 10.0  # seconds without any data
_REDIRECTS = 5


def is_web_url(text: str) -> bool:
    """Return whether text is a URL that `download` reads."""
    return text.lower().startswith(("http://", "https://"))


def download(url: str, *, at_most: int = MAX_BYTES, seconds: float = SECONDS) -> bytes:
    """Download a file. Redirects are followed to `https`, and from `http` to `http`.

    Args:
        url: An `http` or `https` URL.
        at_most: Bytes above which the download is refused.
        seconds: Time after which it is abandoned.

    Raises:
        UnreadableImage: The URL is invalid, the server refuses it or does not answer in time, or it redirects to a URL
            of another kind.
        ImageTooLarge: The file has more bytes.
        MissingDependency: httpx is not installed.
    """
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise MissingDependency("httpx", extra="url") from error
    end = time.monotonic() + seconds
    try:
        with httpx.Client(timeout=min(_SILENCE, seconds), headers={"User-Agent": "imrec"}) as client:
            request: httpx.Request | None = client.build_request("GET", url)
            for _ in range(_REDIRECTS + 1):
                assert request is not None
                response = client.send(request, stream=True)
                try:
                    request = response.next_request
                    if request is None:
                        return _body(response, url, at_most, end, seconds)
                    _check_redirect(url, response.request.url, request.url)
                finally:
                    response.close()
    except httpx.TimeoutException as error:
        raise UnreadableImage(f"{url}: the server does not answer ({type(error).__name__})") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnreadableImage(f"{url}: {error or type(error).__name__}") from error
    raise UnreadableImage(f"{url}: more than {_REDIRECTS} redirects")


def _check_redirect(url: str, source: httpx.URL, target: httpx.URL) -> None:
    if target.scheme not in ("https", source.scheme):
        raise UnreadableImage(f"{url}: the redirect to {target.scheme}: is not followed; give the URL of the image")


def _body(response: httpx.Response, url: str, at_most: int, end: float, seconds: float) -> bytes:
    if not response.is_success:
        raise UnreadableImage(f"{url}: HTTP {response.status_code} {response.reason_phrase}")
    data = bytearray()
    for block in response.iter_bytes():
        data += block
        if len(data) > at_most:
            raise ImageTooLarge(f"{url}: has more than {at_most / 1e6:g} MB; download it and give the file")
        if time.monotonic() > end:
            raise UnreadableImage(f"{url}: is not downloaded after {seconds:g} seconds; download it and give the file")
    return bytes(data)
