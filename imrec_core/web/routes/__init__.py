"""Routers of the HTTP API, one module a subject. Each has `create_router(state)`."""
