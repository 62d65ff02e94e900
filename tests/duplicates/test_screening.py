"""Screening of pairs by summaries: no copy is lost, most other pairs are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from imrec_core.duplicates.block_input import BlockInput
from imrec_core.duplicates.comparison import compare
from imrec_core.duplicates.screening import Summary, screen
from imrec_core.images.edits import EDITS
from tests.support import toy
from tests.support.pages import blank_page, jpeg

TURNED = {"crop", "mirrored", "turned90", "turned90_exif"}
SEEDS = range(6)


def drawn(seed):
    return Image.fromarray(toy.photo(seed, 480, 360, specks=200))


def summary(image):
    data = image if isinstance(image, bytes) else jpeg(image)
    return Summary.of(BlockInput.of_bytes(data).pixels, with_keypoints=True)


@pytest.mark.parametrize("edit", EDITS)
def test_no_copy_is_lost(edit):
    for seed in SEEDS:
        original = drawn(seed)
        a, b = summary(original), summary(EDITS[edit](original))
        assert screen(a, b, "edited").may_match, seed
        if edit not in TURNED:
            assert screen(b, a, "near").may_match, seed


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_crops_are_not_lost(share, is_mirrored):
    for seed in SEEDS:
        original = drawn(seed)
        width, height = round(original.width * share), round(original.height * share)
        crop = original.crop((10, 5, 10 + width, 5 + height))
        if is_mirrored:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert screen(summary(original), summary(jpeg(crop, 60)), "edited").may_be_aligned, seed


def sparse(seed):
    """A smooth scene with a few blurred squares, which has few keypoints at 200 pixels."""
    rng = np.random.default_rng(seed)
    scene = Image.fromarray(rng.integers(60, 190, (2, 3, 3), np.uint8)).resize((480, 360), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(scene)
    for _ in range(10):
        (x, y), side = rng.integers((40, 40), (400, 280)), int(rng.integers(6, 30))
        draw.rectangle([x, y, x + side, y + side], fill=tuple(rng.integers(0, 255, 3).tolist()))
    return scene.filter(ImageFilter.GaussianBlur(3))


@pytest.mark.parametrize("seed", SEEDS)
def test_crop_with_few_keypoints_is_lost_only_if_it_cannot_be_aligned(seed):
    original = sparse(seed)
    crop = jpeg(original.crop((20, 15, 440, 330)), 60)
    a, b = (BlockInput.of_bytes(data) for data in (jpeg(original), crop))
    can_be_aligned = compare(a, b, tier="edited").tier is not None
    assert screen(summary(original), summary(crop), "edited").may_be_aligned or not can_be_aligned


def test_scenes_with_few_keypoints_are_not_all_aligned():
    summaries = [summary(sparse(seed)) for seed in range(12)]
    assert min(len(one.keypoints) for one in summaries) < 40
    passed = [
        screen(a, b, "edited").may_be_aligned for place, a in enumerate(summaries) for b in summaries[place + 1 :]
    ]
    assert np.mean(passed) < 0.4


@pytest.mark.parametrize("tier", ["near", "variant", "edited"])
def test_faint_scenes_whose_levels_do_not_correlate_are_rejected(tier):
    steps = np.linspace(100, 125, 480).astype(np.uint8)
    waves = (112 + 12 * np.sin(np.linspace(0, 18, 360))).astype(np.uint8)
    ramp, stripes = np.tile(steps, (360, 1)), np.tile(waves[:, None], (1, 480))
    one, other = (summary(Image.fromarray(grey).convert("RGB")) for grey in (ramp, stripes))
    assert not screen(one, other, tier).may_be_near
    assert screen(one, summary(jpeg(Image.fromarray(ramp).convert("RGB"), 30)), tier).may_be_near


def test_most_different_images_are_rejected():
    rng = np.random.default_rng(0)
    scenes = [Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8)).resize((480, 360)) for _ in range(16)]
    summaries = [summary(scene) for scene in scenes]
    passed = [screen(a, b, "edited").may_match for place, a in enumerate(summaries) for b in summaries[place + 1 :]]
    assert np.mean(passed) < 0.1


@pytest.mark.parametrize("marks", [1, 2, 5])
def test_flat_pages_with_other_marks_are_rejected(marks):
    pages = [summary(blank_page(seed, marks=marks)) for seed in range(10)]
    passed = [screen(a, b, "near").may_match for place, a in enumerate(pages) for b in pages[place + 1 :]]
    assert np.mean(passed) < 0.2


@pytest.mark.parametrize("edit", ["jpeg20", "brighter", "half_size", "webp", "blur"])
def test_copies_of_flat_pages_are_not_rejected(edit):
    for seed in range(16):
        page = blank_page(seed, marks=3)
        assert screen(summary(page), summary(EDITS[edit](page)), "near").may_match, seed


def test_a_page_that_lacks_a_mark_may_be_a_variant_only():
    page = blank_page(1, 620, 800, marks=0)
    more = page.copy()
    common = [(200, 300), (300, 500)]
    for image, places in ((page, common), (more, [*common, (400, 600)])):
        for x, y in places:
            ImageDraw.Draw(image).ellipse([x, y, x + 10, y + 10], fill=(60, 60, 60))
    one, other = summary(page), summary(more)
    assert screen(one, other, "variant").may_match
    assert not screen(one, other, "near").may_match


@pytest.mark.parametrize("ground", ["white", "black", (30, 60, 200)])
def test_plain_images_are_left_to_the_comparison(ground):
    plain, dot = Image.new("RGB", (64, 48), ground), Image.new("RGB", (640, 480), ground)
    ImageDraw.Draw(dot).point((5, 5), "red")
    assert screen(summary(plain), summary(dot), "edited").may_match


def test_one_pixel_can_be_summarised():
    data = io.BytesIO()
    Image.new("RGB", (1, 1), "white").save(data, "PNG")
    one = summary(data.getvalue())
    assert screen(one, one, "edited").may_match
    assert compare(*(BlockInput.of_bytes(data.getvalue()) for _ in range(2))) is not None
