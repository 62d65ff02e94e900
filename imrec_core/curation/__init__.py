"""Curation of a collection: quality issues, outliers, samples and suspicious labels, from what a generation stores."""
