"""Duplicates: groups of images that are copies of each other, and moving the copies away.

In processing order: `contents.py` groups files by content hash, `candidates.py` finds candidate pairs by vectors, with
`hash_pairs.py`. `verification.py` screens them with `screening.py` and compares the rest by pixels, with
`comparison.py`; `verified_pairs.py`, `stored_hash_pairs.py` and `stored_summaries.py` store results. `crowd.py`
compares images that have too many candidates. `cliques.py` joins verified pairs to groups. `groups.py` runs all steps
for a lake and applies `keep_rules.py` and the stored `decisions.py`. `move_plan.py` plans which copies to move, with
their `companions.py`, and `plan_execution.py` moves them, and back.
"""

from imrec_core.duplicates.groups import Duplicates, find_duplicates

__all__ = ["Duplicates", "find_duplicates"]
