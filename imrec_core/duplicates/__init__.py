"""Which images are copies of each other, and what is to be done with them.

In the order of the work: `candidates.py` gives pairs that may be copies, `comparison.py` tells by their pixels whether
they are, `cliques.py` makes groups in which every pair holds, `groups.py` does all of it for a lake and heeds what
`decisions.py` keeps, `move_plan.py` carries the copies away and back.
"""

from imrec_core.duplicates.groups import Duplicates, find_duplicates

__all__ = ["Duplicates", "find_duplicates"]
