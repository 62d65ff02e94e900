"""Dagster definitions over a lake, and the `imrec` command (`cli/`).

One module per Dagster concept: assets, checks, partitions, resources, jobs, schedules, sensors. Work on images, vectors
and indexes belongs in `imrec_core`.
"""
