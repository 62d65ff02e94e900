"""The HTTP API and the page over one lake; `app.py` puts it together. Needs the extra `web`."""

from imrec_core.web.app import create_app

__all__ = ["create_app"]
