"""ZipResponse: a zip of original files, which are read one at a time in the queue of requests for images."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from imrec_core.errors import ImrecError, UnreadableImage
from imrec_core.images.thumbnails import contents
from imrec_core.lake.storage.files import fingerprint
from imrec_core.web.admission import ClientDisconnected
from imrec_core.web.archive import ArchiveWriter
from imrec_core.web.archive_names import ArchiveNames
from imrec_core.web.image_files import resolve_path
from imrec_core.web.responses import ApiError
from imrec_core.web.selection_lists import SelectedFiles
from imrec_core.web.state import AppState

MISSING = "MISSING.txt"
"""Name of the text file in a zip that names the files that are not in it."""

_TRIES, _PAUSE = 30, 2.0  # to read a file while the queue is full; seconds between them


class ZipResponse(StreamingResponse):
    """Sends the files of a selection as a zip, and stops when the client disconnects.

    Raises:
        ApiError: 413, the files are larger than a zip may be; 503 when called, as many zips are being sent as may be.
    """

    def __init__(self, state: AppState, request: Request, files: SelectedFiles, headers: Mapping[str, str]) -> None:
        if files.byte_size > state.limits.zip_bytes:
            most = f"{files.byte_size / 1e9:.1f} GB, and a zip has at most {state.limits.zip_bytes / 1e9:g} GB"
            raise ApiError(413, "TooLarge", f"the files have {most}; select fewer, or take the list of their paths")
        super().__init__(_zip_chunks(state, request, files), headers=headers, media_type="application/zip")
        self._slots = state.zip_slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._slots.taken():
            await super().__call__(scope, receive, send)


async def _zip_chunks(state: AppState, request: Request, files: SelectedFiles) -> AsyncIterator[bytes]:
    """Yield a zip of files; those that cannot be read are named in `MISSING.txt`."""
    writer, names = ArchiveWriter(), ArchiveNames(MISSING)
    missing = [f"{image}: the lake does not have this image, or no longer" for image in files.unknown]
    for info in files.infos:
        try:
            data = await _read(state, request, info)
        except ClientDisconnected:
            return
        except (ApiError, ImrecError) as error:
            missing.append(f"{info['source']}/{info['path']}: {state.redact_paths(str(error))}")
            continue
        name = names.add(info["source"], info["path"])
        for chunk in await run_in_threadpool(writer.add, name, data, info["mtime_ns"]):
            yield chunk
    if missing:
        count = f"{len(missing)} of {len(files.infos) + len(files.unknown)} files are not in this zip:"
        lines = (" ".join(line.splitlines()) for line in (count, "", *missing))
        for chunk in writer.add(MISSING, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")):
            yield chunk
    for chunk in writer.finish():
        yield chunk


async def _read(state: AppState, request: Request, info: Mapping[str, Any]) -> bytes:
    """Read a file in the queue of requests for images; wait while that is full.

    Raises:
        ApiError: The file is not in a source, or was not read in time; or the queue stays full.
        ImrecError: The file is missing, has changed, or cannot be read.
        ClientDisconnected: The client disconnected.
    """
    for tries_left in range(_TRIES - 1, -1, -1):
        try:
            return await state.in_image_queue(request, lambda: _contents(state, dict(info)))
        except ApiError as error:
            if error.status != 503 or not tries_left:
                raise
        await asyncio.sleep(_PAUSE)
    raise AssertionError("the last try returns or raises")


def _contents(state: AppState, info: dict[str, Any]) -> bytes:
    path = resolve_path(state, info)
    found = fingerprint(path)
    if found is not None and found[0] != info["byte_size"]:  # in an object store `contents` would read all of it
        raise UnreadableImage("the file has changed since the last build; run: imrec build")
    return contents(path, info["content_hash"], info["byte_size"])
