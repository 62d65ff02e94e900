"""What the columns of the tables hold, in words; shown by tools that read the schemas."""

from __future__ import annotations

from collections.abc import Mapping

DESCRIPTIONS: Mapping[str, str] = {
    # catalog, manifests and rows
    "row": "Number of the image in every matrix of the generation.",
    "image_id": "Identifier of the image: 16 hex digits, made from the name of its source and its path.",
    "source": "Name of the image folder in lake.toml.",
    "path": "Path of the file relative to its source, with forward slashes.",
    "shard": "Shard to which the image belongs.",
    "removed": "Whether the image was removed or has changed since; such a row is never a hit.",
    # images
    "byte_size": "Size of the file in bytes.",
    "mtime_ns": "Modification time of the file in nanoseconds since 1970 (UTC).",
    "content_hash": "Hash of the content of the file, equal for equal files; null if it could not be read.",
    "format": "Format of the file, such as JPEG or PNG.",
    "width": "Width in pixels, upright and at full size.",
    "height": "Height in pixels, upright and at full size.",
    "orientation": "EXIF orientation, from 1 to 8; 1 if it is missing.",
    "aspect": "Width divided by height.",
    "has_alpha": "Whether the image has an alpha channel or a transparent colour.",
    "frames": "Number of pages, frames or images in the file; the first one is described.",
    "color_profile": "Description of the ICC profile, `damaged` if it cannot be used; null without one.",
    "bit_depth": "Bits per channel in the file.",
    "damaged": "Whether part of the file is damaged or missing.",
    "camera": "Maker and model of the camera by EXIF; null if missing.",
    "taken": "Time of the shot by EXIF, by the clock of the camera, in an unknown time zone.",
    "latitude": "Latitude of the shot in degrees, negative in the south; null if missing.",
    "longitude": "Longitude of the shot in degrees, negative in the west; null if missing.",
    "brightness": "Mean luma, from 0 to 1.",
    "contrast": "Standard deviation of the luma, from 0 to 0.5.",
    "entropy": "Entropy of the histogram of the luma, from 0 to 8 bits.",
    "sharpness": "Variance of the Laplacian of the luma, of the image at a shorter side of 128 pixels.",
    "is_grey": "Whether the image has no visible colour.",
    "status": "`ok`, or `failed` if the image could not be read or decoded.",
    "error": "Why the image failed; begins with the name of the error.",
    # features
    "vector": "The feature of the image: numbers, or packed bits of a hash.",
    "keypoints": "Number of keypoints that were found in the image.",
    "quality": "Quality of the hash, from 0 to 100; hashes of images with few details have a low one.",
    # maps
    "content": "First 64 bits of the content hash.",
    "x": "Horizontal position on the map.",
    "y": "Vertical position on the map.",
    "cluster": "Number of the cluster, the largest is 0; -1 for images in none.",
    "neighbours": "Rows of the nearest images, nearest first.",
    "distances": "Distances to them.",
}
