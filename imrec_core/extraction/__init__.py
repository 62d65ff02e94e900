"""From images to feature tables: which shards are stale, the decode and compute pipeline, reuse, fits, projections."""
