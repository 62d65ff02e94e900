"""FastAPI application: routes/ (one router a subject), schemas/ (models of responses), static/ (the page).

Needs the extra `web`.
"""

from imrec_core.web.app import create_app

__all__ = ["create_app"]
