"""How fast, how small and how good: one subject per module, both sides of a comparison in one run."""
