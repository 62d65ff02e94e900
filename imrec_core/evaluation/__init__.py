"""Quality measurements on the user's own images: retrieval, copy detection, pair verification, ef sweeps, weights."""
