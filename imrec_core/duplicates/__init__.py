"""Duplicates: groups of images that are copies of each other, and moving the copies away.

In processing order: `contents.py` groups files by content hash, `candidates.py` finds candidate pairs by vectors,
`verification.py` compares them with `comparison.py`, by pixels, and `cliques.py` joins verified pairs to groups.
`groups.py` runs all steps for a lake and applies the stored `decisions.py`. `move_plan.py` plans which copies to move,
with their `companions.py`, and `plan_execution.py` moves them, and back.
"""

from imrec_core.duplicates.groups import Duplicates, find_duplicates

__all__ = ["Duplicates", "find_duplicates"]
