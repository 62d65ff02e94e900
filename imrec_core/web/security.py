"""SecurityMiddleware: checks of host, origin and token, limits of the body, and security headers; for every route.

A page of another site may make a browser send requests to this server. `Host` (another name that resolves to this
machine), `Origin` and `Sec-Fetch-Site` reveal such requests, and they are refused.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import time
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
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
IMAGE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"

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
"""Headers of every response that does not set them itself."""

_PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def is_loopback(host: str) -> bool:
    """Test whether a host name or address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_for_this_machine(token: str | None, hosts: Collection[str] | None) -> bool:
    """Test whether a server with this token and these host names is for this machine only.

    A token is taken as a sign of other users, for example behind a proxy.
    """
    return token is None and bool(hosts) and all(is_loopback(host) for host in hosts or ())


def is_forwarded(request: HTTPConnection) -> bool:
    """Test whether a request comes from another machine, or through a proxy, which may serve others."""
    named = request.client is not None and is_loopback(request.client.host)
    return not named or any(name in request.headers for name in _PROXY_HEADERS)


class SecurityMiddleware:
    """Middleware that refuses untrusted requests, limits bodies, and adds security headers to every response.

    Args:
        token: Token that a request must have; None for no check, if only this machine can reach the server.
        hosts: Accepted host names; None for any, which is safe only with a token.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: Collection[str] | None, limits: Limits) -> None:
        self._app, self._token, self._hosts, self._limits = app, token, hosts, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no WebSockets
        send_with_headers = _add_headers(send)
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            self._check_origin(scope, headers)
            redirect = self._check_token(scope, headers)
            if redirect is not None:
                await redirect(scope, receive, send_with_headers)
                return
            max_bytes = self._max_body_bytes(headers)
        except ApiError as error:
            await error.to_response()(scope, receive, send_with_headers)
            return
        await self._app(scope, _limit_body(receive, max_bytes, self._limits), send_with_headers)

    def _check_host(self, headers: Headers) -> None:
        # Not starlette's TrustedHostMiddleware: it splits at the first colon, which breaks `[::1]`.
        if self._hosts is None:
            return
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if name.strip("[]").lower() not in self._hosts:
            message = f"unknown host {name!r}; open this server as http://{next(iter(self._hosts))}"
            raise ApiError(403, "WrongHost", message)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Refuse requests from pages of other sites, except navigation to a page by a link."""
        site = headers.get("sec-fetch-site", "none")
        is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        if site not in ("same-origin", "none") and not (is_link and scope["method"] == "GET"):
            raise _cross_site(f"Sec-Fetch-Site is {site!r}")
        if scope["method"] in _SAFE_METHODS:
            return
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host", ""):
            raise _cross_site(f"Origin is {origin!r}")
        is_browser = origin is not None or "sec-fetch-site" in headers
        if is_browser and "x-imrec" not in headers:
            raise _cross_site("the header X-Imrec is missing")

    def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
        """Return None for a valid token, or a redirect that moves the token from the URL into a cookie."""
        if self._token is None:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        tokens = [bearer.strip() if scheme.lower() == "bearer" else "", _read_cookie(headers)]
        if any(_is_same(token, self._token) for token in tokens):
            return None
        if scope["method"] == "GET" and any(n == "token" and _is_same(v, self._token) for n, v in query):
            rest = urlencode([(n, v) for n, v in query if n != "token"])
            redirect = RedirectResponse(_local_path(scope["path"]) + (f"?{rest}" if rest else ""), 303)
            redirect.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", max_age=30 * 86400)
            return redirect
        message = "no valid token; open the URL that `imrec serve` printed, or send 'Authorization: Bearer TOKEN'"
        raise ApiError(401, "NoToken", message, {"WWW-Authenticate": "Bearer"})

    def _max_body_bytes(self, headers: Headers) -> int:
        """Return the maximum size of the body.

        Raises:
            ApiError: 413, `Content-Length` is larger.
        """
        is_form = headers.get("content-type", "").lower().startswith("multipart/form-data")
        max_bytes = self._limits.upload_bytes if is_form else self._limits.json_bytes
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > max_bytes):
            raise _too_large(max_bytes)
        return max_bytes


def _cross_site(reason: str) -> ApiError:
    return ApiError(403, "CrossSite", f"{reason}; expected a request of this server's own page")


def _too_large(max_bytes: int) -> ApiError:
    return ApiError(413, "TooLarge", f"the request is larger than the limit of {max_bytes / 1e6:g} MB")


def _too_slow(limits: Limits) -> ApiError:
    rate = f"{limits.body_seconds:g} s, and 1 s more for each {limits.body_bytes_per_second / 1000:g} kB"
    message = f"the body of the request did not arrive in time; the limit is {rate}"
    return ApiError(408, "TooSlow", message, {"Connection": "close"})


def _read_cookie(headers: Headers) -> str:
    try:
        return SimpleCookie(headers.get("cookie", ""))[COOKIE].value
    except (KeyError, CookieError):
        return ""


def _is_same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _local_path(path: str) -> str:
    """Return the path in a form that cannot lead to another host, as `//host` would."""
    return "/" + quote(path.lstrip("/\\"))


def _limit_body(receive: Receive, max_bytes: int, limits: Limits) -> Receive:
    """Limit the size and the time of a body, while it arrives.

    The time starts when the body is first asked for. It grows with what has arrived, so that a large upload over a slow
    line is received, and a body that stops or drips is not. The returned function raises a 413 or a 408.
    """
    received, is_complete, started = 0, False, 0.0

    async def receive_limited() -> Message:
        nonlocal received, is_complete, started
        if is_complete:
            return await receive()  # waits for the client to disconnect
        started = started or time.monotonic()
        seconds = started + limits.body_seconds + received / limits.body_bytes_per_second - time.monotonic()
        try:
            message = await asyncio.wait_for(receive(), seconds)
        except TimeoutError:
            raise _too_slow(limits) from None
        received += len(message.get("body", b""))
        is_complete = not message.get("more_body", False)
        if received > max_bytes:
            raise _too_large(max_bytes)
        return message

    return receive_limited


def _add_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
