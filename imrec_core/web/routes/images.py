"""Pictures over HTTP: small ones, and the files themselves.

What is sent has the content that the lake knows: what was put in its place since is not shown.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.errors import ImageError
from imrec_core.images.decode import WELL_KNOWN, decode
from imrec_core.images.thumbnails import SIDES, contents, jpeg_thumbnail, thumbnail
from imrec_core.lake.storage.files import fingerprint
from imrec_core.web.image_files import facts_of, place_of
from imrec_core.web.responses import ApiError
from imrec_core.web.security import PICTURE_POLICY
from imrec_core.web.state import AppState, ImageKey, UploadKey, why_not

_LONGEST = 4096  # pixels of a picture that is converted for the browser
_FOR_A_WHILE = "private, max-age=300"

Size = IntEnum("Size", {f"SIDE_{side}": side for side in SIDES})  # type: ignore[misc]
_MIDDLE = Size(320)


def _shown_as(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """How a route says that it answers with a picture, for the description."""
    content = {f"image/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {
        200: {"content": content, "description": "The picture."},
        304: {"description": "As the browser has it already."},
    }


def routes(serving: AppState) -> APIRouter:
    """Small pictures, and whole ones."""
    router = APIRouter(tags=["pictures"], default_response_class=Response)

    @router.get("/thumb/upload/{upload}", responses={**_shown_as("jpeg"), **why_not(404, 410)})
    async def thumb_of_upload(request: Request, upload: UploadKey, size: Size = _MIDDLE) -> Response:
        """A small picture of one that was sent; `size` is its longer side."""
        return await serving.pictured(request, lambda: _thumb_of_upload(request, serving, upload, size))

    @router.get("/thumb/{image_id}", responses={**_shown_as("jpeg"), **why_not(404)})
    async def thumb(request: Request, image_id: ImageKey, size: Size = _MIDDLE) -> Response:
        """A small picture of an image; `size` is its longer side."""
        return await serving.pictured(request, lambda: _thumb(request, serving, image_id, size))

    @router.get("/image/{image_id}", responses={**_shown_as("jpeg", "png", "webp", "gif"), **why_not(404)})
    async def image(request: Request, image_id: ImageKey) -> Response:
        """The file itself where a browser can show it, else the picture as a JPEG."""
        return await serving.pictured(request, lambda: _image(request, serving, image_id))

    return router


def _thumb_of_upload(request: Request, serving: AppState, upload: str, size: int) -> Response:
    kept, tag = serving.uploads.find(upload), f"{upload}-{size}"
    if _is_known(request, tag):
        return _picture(tag)
    try:
        made = thumbnail(kept.data, size, max_pixels=kept.max_pixels)
    except ImageError as error:
        raise _missing(error) from error
    return _picture(tag, made)


def _thumb(request: Request, serving: AppState, image_id: str, size: int) -> Response:
    facts = facts_of(serving, image_id)
    path, content = place_of(serving, facts), facts["content_hash"]
    tag = f"{content}-{size}"
    try:
        if fingerprint(path) != (facts["byte_size"], facts["mtime_ns"]):
            contents(path, content)  # it may be the same for all that
        if _is_known(request, tag):
            return _picture(tag)
        max_pixels = serving.lake.settings().max_pixels
        return _picture(tag, serving.thumbnails.of(path, content, size, max_pixels=max_pixels))
    except ImageError as error:
        raise _missing(error) from error


def _image(request: Request, serving: AppState, image_id: str) -> Response:
    facts = facts_of(serving, image_id)
    try:
        data = contents(place_of(serving, facts), facts["content_hash"])
        kind = _kind(data)
        if kind is None:
            max_pixels = serving.lake.settings().max_pixels
            picture = decode(data, max_pixels=max_pixels, min_side=_LONGEST // 2, formats=WELL_KNOWN)
            data, kind = jpeg_thumbnail(picture.pixels, _LONGEST, quality=90), "image/jpeg"
    except ImageError as error:
        raise _missing(error) from error
    tag = facts["content_hash"]
    name = disposition(facts["path"].rpartition("/")[2])
    return _picture(tag) if _is_known(request, tag) else _picture(tag, data, kind, {"Content-Disposition": name})


def _missing(error: ImageError) -> ApiError:
    return ApiError(404, type(error).__name__, f"there is no picture to show: {error}")


def _kind(data: bytes) -> str | None:
    """The media type of what any browser shows, by its first bytes, whatever the file is called."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else None


def disposition(name: str) -> str:
    """The header that names a file (RFC 6266), whatever its name holds: nothing of it is read as a header."""
    shown = "".join(c if c.isprintable() else "_" for c in name.encode("utf-8", "replace").decode())
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in shown)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='')}"


def _is_known(request: Request, tag: str) -> bool:
    return f'"{tag}"' in request.headers.get("if-none-match", "")


def _picture(
    tag: str, data: bytes | None = None, kind: str = "image/jpeg", headers: dict[str, str] | None = None
) -> Response:
    """A picture, or that the browser has it already."""
    always = {"ETag": f'"{tag}"', "Cache-Control": _FOR_A_WHILE, "Content-Security-Policy": PICTURE_POLICY}
    if data is None:
        return Response(status_code=304, headers=always)
    return Response(data, media_type=kind, headers={**always, **(headers or {})})
