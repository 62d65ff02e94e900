"""An object store on 127.0.0.1 that injects random faults."""

from __future__ import annotations

import os
import random
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from s3fs import S3FileSystem
from werkzeug.serving import WSGIRequestHandler, make_server

from imrec_core.lake import lake
from imrec_core.lake.storage import files, object_store
from imrec_core.lake.storage.files import AnyPath

BUCKET = "pictures"
KINDS = ("slow down", "internal", "done, but reported as failed", "cut off", "short")

Answer = Callable[[str, list[tuple[str, str]]], Any]


class Faulty:
    """A WSGI application whose requests fail at random.

    Attributes:
        share: Share of the requests that fail; 1 for a store that is down.
        kinds: Kinds of faults, equally likely.
        requests: Number of requests, by method.
        faults: Number of faults, by kind of `KINDS`.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]], seed: int = 0) -> None:
        self._application, self._random, self._lock = application, random.Random(seed), threading.Lock()
        self.share, self.kinds = 0.0, KINDS
        self.requests: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], answer: Answer) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        with self._lock:
            self.requests[method] += 1
            kind = self._random.choice(self.kinds) if self._random.random() < self.share else ""
            if kind in ("cut off", "short") and (method != "GET" or environ["QUERY_STRING"]):
                kind = "internal"  # only objects can be cut: a shortened listing is not XML
            if kind:
                self.faults[kind] += 1
        if kind == "slow down":
            return self._refuse(answer, "503 Slow Down", "SlowDown")
        if kind == "internal":
            return self._refuse(answer, "500 Internal Server Error", "InternalError")
        if not kind:
            return self._application(environ, answer)
        kept: list[Any] = []
        body = b"".join(self._application(environ, lambda *args: kept.append(args)))
        status, headers = kept[0][:2]
        if kind == "done, but reported as failed":
            return self._refuse(answer, "500 Internal Server Error", "InternalError")
        short = body[: len(body) // 2]
        if kind == "short":
            sizes = ("content-length", "x-amz-checksum")  # then only the listing has the full size
            headers = [(name, value) for name, value in headers if not name.lower().startswith(sizes)]
            headers.append(("Content-Length", str(len(short))))
        answer(status, headers)
        return [short]

    @staticmethod
    def _refuse(answer: Answer, status: str, code: str) -> list[bytes]:
        body = f"<Error><Code>{code}</Code><Message>by chance</Message></Error>".encode()
        answer(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


class _Silent(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


@contextmanager
def serving(seed: int = 0) -> Iterator[Faulty]:
    """Run an object store with an empty bucket within the block, and set the environment variables to reach it."""
    application = Faulty(DomainDispatcherApplication(create_backend_app), seed)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Silent)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(server.port).items():
            patch.setenv(name, value)
        S3FileSystem.clear_instance_cache()  # cached instances have the address of an earlier store
        object_store._listings.clear()
        lake._parse_settings.cache_clear()
        _empty(server.port)
        S3FileSystem().mkdir(BUCKET)
        try:
            yield application
        finally:
            S3FileSystem.clear_instance_cache()
            server.shutdown()
            thread.join()
            server.server_close()


def _empty(port: int) -> None:
    """Remove all buckets: moto keeps them for the lifetime of the process."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/moto-api/reset", b"")
    urllib.request.urlopen(request, timeout=10).close()


def path(name: str = "") -> AnyPath:
    """Return a path in the bucket."""
    return files.place(f"s3://{BUCKET}/{name}")


def put(name: str, data: bytes = b"something") -> AnyPath:
    """Write an object to the bucket, like another process; return its path."""
    S3FileSystem().pipe_file(f"{BUCKET}/{name}", data)
    return path(name)


def put_folder(folder: Path, name: str) -> AnyPath:
    """Upload all files of a local folder; return the path of the folder."""
    for file in folder.rglob("*"):
        if file.is_file():
            put(f"{name}/{file.relative_to(folder).as_posix()}", file.read_bytes())
    return path(name)


def environment(port: int) -> dict[str, str]:
    """Return the environment variables to reach the object store."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",  # avoids waits of seconds; s3fs and imrec retry too
        "NO_PROXY": f"127.0.0.1,{os.environ.get('NO_PROXY', '')}",
    }
