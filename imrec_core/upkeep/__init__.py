"""Upkeep of a lake: its sources, the sizes of its files, and the removal of files that nothing uses."""
