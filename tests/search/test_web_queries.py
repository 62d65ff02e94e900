"""Images from URLs and from standard input as queries: limits, redirects, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from imrec_core import Hits
from imrec_core.errors import ImageTooLarge, MissingDependency, QueryError, UnreadableImage
from imrec_core.lake.storage import downloads
from imrec_core.lake.storage.downloads import download
from tests.support.toy import ids

REDIRECTS = {
    "/moved.jpg": "/photo.jpg",
    "/round": "/round",
    "/to_file": "file:///etc/hostname",
    "/to_ftp": "ftp://127.0.0.1/photo.jpg",
    "/to_nonsense": "http://[",
}


class Site:
    """A web server of one photo; `requested` lists the paths of its requests."""

    def __init__(self, photo: bytes) -> None:
        self.requested: list[str] = []
        self.leaving = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requested.append(self.path)
                path = self.path.partition("?")[0]
                if path in REDIRECTS:
                    self.send_response(302)
                    self.send_header("Location", REDIRECTS[path])
                    self.end_headers()
                elif path == "/photo.jpg":
                    self.reply(photo)
                elif path == "/page.html":
                    self.reply(b"<html>no image</html>")
                elif path == "/bomb.jpg":
                    self.reply(gzip.compress(bytes(3_000_000)), ("Content-Encoding", "gzip"))
                elif path == "/slow.jpg":
                    site.leaving.wait(20)
                elif path == "/drip.jpg":
                    self.drip()
                else:
                    self.send_error(404)

            def reply(self, data: bytes, *headers: tuple[str, str]) -> None:
                self.send_response(200)
                for header in (*headers, ("Content-Length", str(len(data)))):
                    self.send_header(*header)
                self.end_headers()
                self.wfile.write(data)

            def drip(self) -> None:
                self.send_response(200)
                self.end_headers()
                while not site.leaving.wait(0.02):
                    try:
                        self.wfile.write(b"x")
                    except OSError:
                        return

            def log_message(self, *what: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def site(photos, monkeypatch) -> Iterator[Site]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    site = Site((photos / "photo_003.jpg").read_bytes())
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield site
    site.leaving.set()
    site.server.shutdown()
    site.server.server_close()
    thread.join()


# -- URLs ---------------------------------------------------------------------------------------------------


def test_url_finds_what_its_image_finds_and_is_downloaded_once(recommender, photos, site, tmp_path):
    data = (photos / "photo_003.jpg").read_bytes()
    hits = recommender.search(f"{site.url}/photo.jpg?size=large", by="phash")
    assert hits.hits == recommender.search(data, by="phash").hits
    assert str(photos / "photo_003.jpg") not in [hit.path for hit in hits]
    hits.contact_sheet(tmp_path / "sheet.png")
    assert site.requested == ["/photo.jpg?size=large"]
    assert recommender.search(f"{site.url}/moved.jpg", by="phash").hits == hits.hits
    both = recommender.search(like=[f"{site.url}/photo.jpg", photos / "photo_005.jpg"], by="phash", pool="best")
    assert ids(both) == ids(recommender.search(like=[data, photos / "photo_005.jpg"], by="phash", pool="best"))
    assert (recommender.vector(f"{site.url}/photo.jpg", "phash") == recommender.vector(data, "phash")).all()


def test_url_given_twice_is_refused(recommender, site):
    with pytest.raises(QueryError, match=r"photo.jpg is given twice"):
        recommender.search(like=[f"{site.url}/photo.jpg"] * 2, by="phash")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/none.jpg", r"/none\.jpg: HTTP 404 Not Found"),
        ("/page.html", r"/page\.html: not an image, or an unknown format"),
        ("/round", r"/round: more than 5 redirects"),
        ("/to_file", r"/to_file: the redirect to file: is not followed"),
        ("/to_ftp", r"the redirect to ftp: is not followed"),
        ("/to_nonsense", r"/to_nonsense: .+"),
    ],
)
def test_url_without_an_image_is_refused(recommender, site, path, message):
    with pytest.raises(UnreadableImage, match=message):
        recommender.search(site.url + path, by="phash")
    good, bad = recommender.search_each([f"{site.url}/photo.jpg", site.url + path], by="phash")
    assert isinstance(good, Hits) and isinstance(bad, UnreadableImage)


@pytest.mark.parametrize("url", ["http://", "http://[", "https://\x00", "http://127.0.0.1:1/x.jpg", "HTTP://?"])
def test_invalid_url_is_refused(recommender, url, monkeypatch):
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    monkeypatch.delenv("http_proxy", raising=False)
    with pytest.raises(UnreadableImage):
        recommender.search(url, by="phash")


def test_https_is_not_left_for_http():
    import httpx

    with pytest.raises(UnreadableImage, match="the redirect to http: is not followed"):
        downloads._check_redirect("https://a", httpx.URL("https://a"), httpx.URL("http://b"))
    downloads._check_redirect("http://a", httpx.URL("http://a"), httpx.URL("https://b"))


def test_download_is_bounded_in_bytes_also_decompressed_ones(site):
    size = len(download(f"{site.url}/photo.jpg"))
    assert len(download(f"{site.url}/photo.jpg", at_most=size)) == size
    for path, limit in (("/photo.jpg", size - 1), ("/bomb.jpg", 1_000_000), ("/drip.jpg", 3)):
        with pytest.raises(ImageTooLarge, match=r"has more than .* MB; download it and give the file"):
            download(site.url + path, at_most=limit)


def test_download_is_bounded_in_time(site):
    with pytest.raises(UnreadableImage, match="does not answer"):
        download(f"{site.url}/slow.jpg", seconds=0.2)
    with pytest.raises(UnreadableImage, match=r"is not downloaded after 0\.2 seconds"):
        download(f"{site.url}/drip.jpg", seconds=0.2)


def test_url_without_httpx_says_what_to_install(recommender, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingDependency, match=r"pip install 'imrec\[url\]'"):
        recommender.search("https://localhost/photo.jpg")


# -- command line -------------------------------------------------------------------------------------------


def stdin(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def found(outcome) -> list[str]:
    return [Path(hit["path"]).name for hit in json.loads(outcome.out)["hits"]]


def test_command_searches_for_a_url_and_for_standard_input(imrec, recommender, photos, site, monkeypatch):
    asked = ("--by", "phash", "--json", "--with-self", "--lake", recommender.lake.root)
    by_file = found(imrec("search", photos / "photo_003.jpg", *asked))
    assert by_file[0] == "photo_003.jpg"
    assert found(imrec("search", f"{site.url}/photo.jpg?x=[1]", *asked)) == by_file
    assert found(imrec("search", f"{site.url}/photo.jpg?x=[1]", "--each", *asked)) == by_file
    data = (photos / "photo_003.jpg").read_bytes()
    for words in (["-"], ["-", "--each"]):
        stdin(monkeypatch, data)
        assert found(imrec("search", *words, *asked)) == by_file
    stdin(monkeypatch, data)
    with_unlike = found(imrec("search", "-", "-", photos / "photo_005.jpg", *asked))
    assert with_unlike == found(imrec("search", photos / "photo_003.jpg", "-", photos / "photo_005.jpg", *asked))


def test_standard_input_without_an_image_is_refused(imrec, recommender, monkeypatch):
    asked = ("search", "-", "--by", "phash", "--lake", recommender.lake.root)
    for data, message in ((b"", "standard input: the file is empty"), (b"text", "standard input: not an image")):
        stdin(monkeypatch, data)
        outcome = imrec(*asked)
        assert outcome.status == 1 and outcome.err.startswith(f"imrec: {message}")
    monkeypatch.setattr(downloads, "MAX_BYTES", 10)
    stdin(monkeypatch, b"x" * 11)
    assert "standard input has more than 1e-05 MB; give the file" in imrec(*asked).err


def test_command_says_in_one_line_why_a_url_is_refused(imrec, recommender, site):
    outcome = imrec("search", f"{site.url}/none.jpg", "--lake", recommender.lake.root)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == f"imrec: {site.url}/none.jpg: HTTP 404 Not Found\n"
