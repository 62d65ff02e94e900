"""A single image: decoding, EXIF, properties, thumbnails, keypoints and edits. Vectors belong to features/."""
