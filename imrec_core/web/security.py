"""Who gets in, and what a browser may do with the answer. In front of every route, pages and files too.

A page of another site may make a browser send requests here: such requests are known by `Host` (a name of theirs that
leads to this machine), `Origin` and `Sec-Fetch-Site`, and refused.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imrec_core.web.limits import Limits
from imrec_core.web.responses import ApiError

COOKIE = "imrec_token"
LOOPBACK = ("127.0.0.1", "localhost", "::1")

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PICTURE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"

HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer that does not say otherwise."""

_READING = ("GET", "HEAD", "OPTIONS")


def is_loopback(host: str) -> bool:
    """Whether what listens there can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class SecurityMiddleware:
    """Middleware: refuses who should not get in, bounds what is read, and adds headers to every answer.

    Args:
        token: What a request must show; None where everyone on this machine may ask.
        hosts: Names by which the server may be called; None for any, which is safe with a token alone.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: Collection[str] | None, limits: Limits) -> None:
        self._app, self._token, self._hosts, self._limits = app, token, hosts, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no WebSocket is served
        sending = _with_headers(send)
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            self._check_site(scope, headers)
            entered = self._check_token(scope, headers)
            if entered is not None:
                await entered(scope, receive, sending)
                return
            most = self._most(headers)
        except ApiError as refused:
            await refused.response()(scope, receive, sending)
            return
        await self._app(scope, _bounded(receive, most), sending)

    def _check_host(self, headers: Headers) -> None:
        if self._hosts is None:
            return
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if name.strip("[]").lower() not in self._hosts:
            words = f"this server is not called {name!r}; open it as http://{next(iter(self._hosts))}"
            raise ApiError(403, "WrongHost", words)

    def _check_site(self, scope: Scope, headers: Headers) -> None:
        """Refuse what a page of another site asks for; a link to a page may be followed."""
        site = headers.get("sec-fetch-site", "none")
        is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        if site not in ("same-origin", "none") and not (is_link and scope["method"] == "GET"):
            raise ApiError(403, "CrossSite", f"a page of another site asked ({site}); only this server's own page may")
        if scope["method"] in _READING:
            return
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host", ""):
            raise ApiError(403, "CrossSite", "a page of another site asked; only this server's own page may")
        is_browser = origin is not None or "sec-fetch-site" in headers
        if is_browser and "x-imrec" not in headers:
            raise ApiError(
                403, "CrossSite", "the header X-Imrec is missing, by which the page's own requests are known"
            )

    def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
        """None where the request may go on; an answer that sets the cookie where the token is in the address."""
        if self._token is None:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        shown = [bearer.strip() if scheme.lower() == "bearer" else "", _cookie(headers)]
        if any(_is_same(token, self._token) for token in shown):
            return None
        if scope["method"] == "GET" and any(n == "token" and _is_same(v, self._token) for n, v in query):
            rest = urlencode([(n, v) for n, v in query if n != "token"])
            entered = RedirectResponse(_local(scope["path"]) + (f"?{rest}" if rest else ""), 303)
            entered.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", max_age=30 * 86400)
            return entered
        words = "a token is needed; open the address that `imrec serve` printed, or send Authorization: Bearer TOKEN"
        raise ApiError(401, "NoToken", words, {"WWW-Authenticate": "Bearer"})

    def _most(self, headers: Headers) -> int:
        """Bytes that the body may have.

        Raises:
            Refused: 413, it says itself that it has more.
        """
        is_form = headers.get("content-type", "").lower().startswith("multipart/form-data")
        most = self._limits.upload_bytes if is_form else self._limits.json_bytes
        said = headers.get("content-length", "")
        if said.isdecimal() and (len(said) > 18 or int(said) > most):
            raise _too_large(most)
        return most


def _too_large(most: int) -> ApiError:
    return ApiError(413, "TooLarge", f"the request is larger than {most / 1e6:g} MB, the most that is taken")


def _cookie(headers: Headers) -> str:
    try:
        return SimpleCookie(headers.get("cookie", ""))[COOKIE].value
    except (KeyError, CookieError):
        return ""


def _is_same(shown: str, token: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "replace"), token.encode())


def _local(path: str) -> str:
    """A path that leads to this server and nowhere else."""
    return "/" + quote(path.lstrip("/\\"))


def _bounded(receive: Receive, most: int) -> Receive:
    """A body that is counted while it comes in."""
    left = most

    async def receiving() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise _too_large(most)
        return message

    return receiving


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
