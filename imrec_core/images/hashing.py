"""The content hash, by which images of equal bytes are recognised."""

import hashlib
from io import BufferedReader

_DIGEST_SIZE = 16


def content_hash(data: bytes) -> str:
    """Compute the BLAKE2b-128 digest of a file's bytes, in hex."""
    return hashlib.blake2b(data, digest_size=_DIGEST_SIZE).hexdigest()


def content_hash_of(file: BufferedReader) -> str:
    """Compute the content hash of an open file block by block, for videos larger than the memory."""
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_SIZE)).hexdigest()
