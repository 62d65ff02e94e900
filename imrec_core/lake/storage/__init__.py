"""Files on local disks and in object stores, and the locks that processes share. Knows nothing of a lake's layout."""
