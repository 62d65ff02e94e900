"""Which images are copies of each other, and what is to be done with them.

In the order of the work: `contents.py` has the files by their bytes, `candidates.py` gives pairs that may be copies,
`verification.py` goes through them, `comparison.py` tells by their pixels whether two are copies, `cliques.py` makes
groups in which every pair holds, `groups.py` does all of it for a lake and heeds what `decisions.py` keeps,
`move_plan.py` carries the copies away and back.
"""

from imrec_core.duplicates.groups import Duplicates, find_duplicates

__all__ = ["Duplicates", "find_duplicates"]
