"""Sockets that commands listen on."""

import socket

from imrec_core.errors import ImrecError


def listen(host: str, port: int, *, advice: str) -> socket.socket:
    """Return a socket that listens on an address.

    Args:
        port: The port, or 0 for any free one.
        advice: What to do if the address cannot be used.

    Raises:
        ImrecError: The port is busy, or the address is not one of this machine.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ImrecError(f"cannot listen on {host}, port {port}: {error.strerror}; {advice}") from error
