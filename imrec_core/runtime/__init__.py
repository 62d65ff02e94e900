"""What the process runs on: CPU count, stage timings, cancellation. Nothing here knows of images."""
