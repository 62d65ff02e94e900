"""Response models of the HTTP API, one module a subject. Bodies of requests are in `web/search_request.py`."""
