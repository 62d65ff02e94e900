"""The Dagster side of imrec: what depends on what, which partitions there are, when things run; and the command."""
