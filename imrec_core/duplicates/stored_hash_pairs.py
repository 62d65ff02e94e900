"""Pairs of similar hashes, stored in the lake by content hash, so that a later search compares only new images.

To compare all hashes with all takes time quadratic in the number of images.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.duplicates import hash_pairs
from imrec_core.duplicates.hash_pairs import ClosePairs, Hashes, close_hashes, update_close_hashes
from imrec_core.errors import LakeError, MissingTable
from imrec_core.lake import parquet

_VERSION = "1"  # increment it when the same hashes may get other pairs

log = logging.getLogger(__name__)


class StoredHashPairs:
    """The pairs of similar hashes of the last search.

    Args:
        path: File in the lake. A damaged file, or one of another version or of other hashes, is replaced.
        names: Content hashes, sorted, as an array of Arrow.
    """

    def __init__(self, path: Path, names: pa.StringArray) -> None:
        self._path, self._names = path, names

    def close_hashes(self, hashes: Hashes, limits: tuple[int, int], kind: str) -> ClosePairs:
        """Find the pairs of similar hashes as `hash_pairs.close_hashes`; log a warning if they cannot be stored.

        Args:
            hashes: Hashes of the contents `(n, words)`.
            kind: Names of the features that the hashes are of.
        """
        made_from = {"hash_pairs": _VERSION, "kind": kind, "limits": f"{limits}", "crowded": f"{hash_pairs.CROWDED}"}
        table = self._read(made_from)
        if table is None:
            found = close_hashes(hashes, limits)
        else:
            known = _from_table(table, hashes.shape[1], limits)
            if table["content"].combine_chunks().equals(self._names) and np.array_equal(known.hashes, hashes):
                return known
            places = pc.fill_null(pc.index_in(table["content"], self._names), -1).to_numpy().astype(np.int64)
            found = update_close_hashes(known, places, hashes)
        try:
            parquet.write_table(self._path, _to_table(self._names, found), made_from)
        except (LakeError, OSError) as error:
            log.warning("pairs of similar hashes cannot be stored, so the next search compares all again: %s", error)
        return found

    def _read(self, made_from: dict[str, str]) -> pa.Table | None:
        """Read the file; None if there is none, or it is damaged or made otherwise."""
        try:
            table = parquet.read_table(self._path)
        except MissingTable:
            return None
        except (LakeError, pa.ArrowException, ValueError) as error:
            log.warning("stored pairs of similar hashes are ignored and made again: %s", error)
            return None
        return table if parquet.made_from_of(table) == made_from else None


def _to_table(names: pa.StringArray, found: ClosePairs) -> pa.Table:
    """Make a table of the contents with their hashes, and the later contents that are similar to each."""
    count, words = found.hashes.shape
    starts = np.searchsorted(found.pairs[:, 0], np.arange(count + 1)).astype(np.int32)
    later = pa.ListArray.from_arrays(pa.array(starts), pa.array(found.pairs[:, 1].astype(np.int32)))
    hashes = pa.FixedSizeBinaryArray.from_buffers(pa.binary(8 * words), count, [None, pa.py_buffer(found.hashes)])
    similar = pa.array(found.similar.astype(np.int32))
    return pa.table({"content": names, "hash": hashes, "similar": similar, "later": later})


def _from_table(table: pa.Table, words: int, limits: tuple[int, int]) -> ClosePairs:
    table = table.combine_chunks()
    later = table["later"].combine_chunks()
    counts = np.diff(later.offsets.to_numpy())
    firsts = np.repeat(np.arange(len(table)), counts)
    pairs = np.stack([firsts, later.values.to_numpy().astype(np.int64)], axis=1)
    data = table["hash"].combine_chunks().buffers()[1]
    hashes = np.frombuffer(data or b"", np.uint64, len(table) * words).reshape(-1, words)
    similar = table["similar"].to_numpy().astype(np.int64)
    return ClosePairs(pairs, np.flatnonzero(similar > hash_pairs.CROWDED), similar, hashes, hashes, limits)
