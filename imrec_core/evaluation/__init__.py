"""Quality measurements on the user's own images: retrieval, copy detection, pair verification, ef sweeps, weights.

The results are plain data; `imrec_dagster/cli/evaluate_report.py` prints them.
"""
