"""Routes of one image: its properties, its thumbnail and its file.

Files are sent only if they have the content hash that the lake knows. A file that was replaced since the last build is
an error.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.duplicates.decisions import load_decisions
from imrec_core.errors import ImageError
from imrec_core.images.decode import decode
from imrec_core.images.thumbnails import SIDES, contents, jpeg_thumbnail, thumbnail
from imrec_core.lake.storage.files import fingerprint
from imrec_core.lake.tags import tag_file
from imrec_core.web.image_files import absolute_path, file_info, resolve_path
from imrec_core.web.responses import ApiError, json_response
from imrec_core.web.routes.lake import INTERNAL_COLUMNS
from imrec_core.web.schemas.images import ImageDetail
from imrec_core.web.security import IMAGE_POLICY, is_forwarded
from imrec_core.web.state import AppState, ImageKey, UploadKey, error_responses

_MAX_SIDE = 4096  # pixels of an image that is converted for the browser
_MAX_COPIES = 100
_CACHE_CONTROL = "private, max-age=300"

Size = IntEnum("Size", {f"SIDE_{side}": side for side in SIDES})  # type: ignore[misc]
_MEDIUM = Size(320)


def _image_responses(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """Describe the image response of a route for the OpenAPI document."""
    content = {f"image/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {
        200: {"content": content, "description": "The image."},
        304: {"description": "Not modified."},
    }


def create_router(state: AppState) -> APIRouter:
    """Create the routes of image properties, thumbnails and files."""
    router, files = APIRouter(), APIRouter(tags=["pictures"], default_response_class=Response)

    @router.get(
        "/api/images/{image_id}",
        response_model=ImageDetail,
        responses=error_responses(404),
        tags=["lake"],
        name="image",
    )
    async def detail(request: Request, image_id: ImageKey) -> Response:
        """Return the properties of an image, its exact copies, and decisions about it."""
        shows_paths = state.is_local and not is_forwarded(request)
        return json_response(await state.in_search_queue(request, lambda: _detail(state, image_id, shows_paths)))

    @files.get("/thumb/upload/{upload}", responses={**_image_responses("jpeg"), **error_responses(404, 410, 504)})
    async def thumb_of_upload(request: Request, upload: UploadKey, size: Size = _MEDIUM) -> Response:
        """Return the thumbnail of an upload; `size` is its longer side."""
        return await state.in_image_queue(request, lambda: _thumb_of_upload(request, state, upload, size))

    @files.get("/thumb/{image_id}", responses={**_image_responses("jpeg"), **error_responses(404, 504)})
    async def thumb(request: Request, image_id: ImageKey, size: Size = _MEDIUM) -> Response:
        """Return the thumbnail of an image; `size` is its longer side."""
        return await state.in_image_queue(request, lambda: _thumb(request, state, image_id, size))

    @files.get(
        "/image/{image_id}", responses={**_image_responses("jpeg", "png", "webp", "gif"), **error_responses(404, 504)}
    )
    async def image(request: Request, image_id: ImageKey) -> Response:
        """Return the file of an image, converted to JPEG if browsers cannot show its format."""
        return await state.in_image_queue(request, lambda: _image(request, state, image_id))

    router.include_router(files)
    return router


def _detail(state: AppState, image_id: str, shows_paths: bool) -> dict[str, Any]:
    generation = state.generation
    columns = generation.filter.row(state.row_of(generation, image_id))
    content, decisions = columns["content_hash"], load_decisions(state.lake)
    apart = {a if b == content else b for a, b in decisions.not_duplicate if content in (a, b)}
    copies = generation.filter.images_with_content([content], _MAX_COPIES)
    return {
        "image_id": image_id,
        "source": columns["source"],
        "path": columns["path"],
        "absolute_path": absolute_path(state, columns) if shows_paths else None,
        "facts": {name: value for name, value in columns.items() if name not in INTERNAL_COLUMNS},
        "copies": [
            {"image_id": other, "source": source, "path": path} for other, source, path in copies if other != image_id
        ],
        "tags": tag_file(state.lake).by_content().get(content, []),
        "decided": {
            "keep": content in decisions.keep,
            "apart": [other for other, _, _ in generation.filter.images_with_content(sorted(apart), _MAX_COPIES)],
        },
    }


def _thumb_of_upload(request: Request, state: AppState, handle: str, size: int) -> Response:
    upload, tag = state.uploads.get(handle), f"{handle}-{size}"
    if _is_cached(request, tag):
        return _image_response(tag)
    try:
        data = thumbnail(upload.data, size, max_pixels=upload.max_pixels)
    except ImageError as error:
        raise _not_found(error) from error
    return _image_response(tag, data)


def _thumb(request: Request, state: AppState, image_id: str, size: int) -> Response:
    info = file_info(state, image_id)
    path, content = resolve_path(state, info), info["content_hash"]
    tag = f"{content}-{size}"
    try:
        if fingerprint(path) != (info["byte_size"], info["mtime_ns"]):
            contents(path, content, info["byte_size"])  # raises if the content has changed, too
        if _is_cached(request, tag):
            return _image_response(tag)
        max_pixels = state.lake.settings().max_pixels
        made = state.thumbnails.of(path, content, size, max_pixels=max_pixels, byte_size=info["byte_size"])
        return _image_response(tag, made)
    except ImageError as error:
        raise _not_found(error) from error


def _image(request: Request, state: AppState, image_id: str) -> Response:
    info = file_info(state, image_id)
    try:
        data = contents(resolve_path(state, info), info["content_hash"], info["byte_size"])
        media_type = _media_type(data)
        if media_type is None:
            max_pixels = state.lake.settings().max_pixels
            decoded = decode(data, max_pixels=max_pixels, min_side=_MAX_SIDE // 2, allow_truncated=True)
            data, media_type = jpeg_thumbnail(decoded.pixels, _MAX_SIDE, quality=90), "image/jpeg"
    except ImageError as error:
        raise _not_found(error) from error
    tag = info["content_hash"]
    if _is_cached(request, tag):
        return _image_response(tag)
    disposition = content_disposition(info["path"].rpartition("/")[2])
    return _image_response(tag, data, media_type, {"Content-Disposition": disposition})


def _not_found(error: ImageError) -> ApiError:
    return ApiError(404, type(error).__name__, f"the image cannot be shown: {error}")


def _media_type(data: bytes) -> str | None:
    """Return the media type by the first bytes, whatever the file name; None if not every browser shows it."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else None


def content_disposition(name: str) -> str:
    """Return the value of `Content-Disposition` (RFC 6266) for any file name; no part of it can end the header."""
    printable = "".join(c if c.isprintable() else "_" for c in name.encode("utf-8", "replace").decode())
    ascii_only = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in printable)
    return f"inline; filename=\"{ascii_only}\"; filename*=UTF-8''{quote(printable, safe='')}"


def _is_cached(request: Request, tag: str) -> bool:
    return f'"{tag}"' in request.headers.get("if-none-match", "")


def _image_response(
    tag: str, data: bytes | None = None, media_type: str = "image/jpeg", headers: dict[str, str] | None = None
) -> Response:
    """Return an image, or a 304 without `data`."""
    common = {"ETag": f'"{tag}"', "Cache-Control": _CACHE_CONTROL, "Content-Security-Policy": IMAGE_POLICY}
    if data is None:
        return Response(status_code=304, headers=common)
    return Response(data, media_type=media_type, headers={**common, **(headers or {})})
