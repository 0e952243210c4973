"""What is found and what is told apart: drawn pictures, papers, ink, scans, turned pictures."""

import cv2
import numpy as np
import pytest

from conftest import draw, encode, half, put
from pictures import FAMILIES, drawn, drawn_copies, form, resized, statement


def test_copies_of_drawn_pictures_are_found_and_unseen_ones_are_not(tree):
    total = 0
    for family in FAMILIES:
        name = family.__name__
        put(tree.path / "drawn" / f"{name}.png", drawn(family, 0))
        for kind, content in drawn_copies(family, 0):
            ending = ".jpg" if "JPEG" in kind else ".png"
            put(tree.needles / f"copy {name} {kind}" / f"a{ending}", content)
            total += 1
        put(tree.needles / f"unseen {name}" / "a.png", drawn(family, 1))
    missed = {}
    for options in ((), ("--article",)):
        printed = tree.run(*options, haystack=("drawn",)).printed
        missed[options] = sum(name.startswith("copy") for name in printed)
        if not options:
            assert len(printed) - missed[options] == len(FAMILIES)  # the unseen, each of them
    assert total == 128 and missed[()] <= 0.05 * total
    assert missed[()] <= missed["--article",]


def test_papers_of_one_layout_are_told_apart_and_their_copies_found(tree):
    for paper in (form, statement):
        name = paper.__name__
        for seed in range(60):
            page = paper(seed)
            put(tree.path / "papers" / name / f"{seed}.jpg", encode(page, quality=80))
            put(tree.needles / "copies" / f"{name} {seed}.jpg", encode(half(page), quality=70))
            content = encode(paper(seed + 60), quality=80)
            put(tree.needles / f"other {name} {seed}" / "a.jpg", content)
    done = tree.run(haystack=("papers",))
    assert len(done.printed) >= 116  # of 120
    assert "copies" not in done.err  # a folder found in part is named there


def test_skies_and_blank_pages_are_told_apart(tree):
    across, down = np.meshgrid(np.arange(640), np.arange(480))

    def sky(slope):
        return np.clip(240 - down * slope, 0, 255).astype(np.uint8)

    rng = np.random.default_rng(5)
    cap = np.clip(rng.normal(3, 3, (480, 640)), 0, 255).astype(np.uint8)
    pages = {"white": 255, "grey": 190, "black": 0}
    put(tree.path / "plain" / "sky.png", sky(0.30))
    put(tree.path / "plain" / "wide.png", np.clip(across / 3, 0, 255).astype(np.uint8))
    put(tree.path / "plain" / "page.png", np.full((480, 640), 250, np.uint8))
    put(tree.path / "plain" / "cap.png", cap)
    for name, content in {
        "another cap": encode(cap[::-1]),
        "another sky": encode(sky(0.33)),
        "a flatter sky": encode(sky(0.27)),
        "wider": encode(np.clip(across / 3.3, 0, 255).astype(np.uint8)),
        **{name: encode(np.full((480, 640), level, np.uint8)) for name, level in pages.items()},
    }.items():
        put(tree.needles / name / "a.jpg", content)
    put(tree.needles / "found" / "same cap.png", cap)
    put(tree.needles / "found" / "sky.jpg", encode(sky(0.30), quality=60))
    put(tree.needles / "found" / "half a sky.jpg", encode(half(sky(0.30))))
    put(tree.needles / "found" / "brighter.jpg", encode(sky(0.30) + 5))
    done = tree.run(haystack=("plain",))
    unseen = ["a flatter sky", "another cap", "another sky", "black", "grey", "white", "wider"]
    assert done.printed == unseen and "found" not in done.err


def notes(seed, width=640, height=480):
    """Black ink on transparent ground, under a blue heading that all share: BGRA."""
    page = np.zeros((height, width, 4), np.uint8)
    page[20:70, 20 : width - 20] = 255, 60, 20, 255
    rng = np.random.default_rng(seed)
    for row in range(8):
        base = 110 + row * 45
        for left in range(30, width - 60, 60):
            if rng.random() < 0.6:
                end = left + int(rng.integers(20, 50))
                page[base : base + int(rng.integers(8, 30)), left:end, 3] = 255
    return page


def scan(seed):
    """A 16-bit scan that uses the darkest levels only, with three hot pixels."""
    dark = draw(seed, 640, 480)[:, :, 0].astype(np.uint16)
    for row, column in ((10, 10), (200, 300), (470, 20)):
        dark[row, column] = 65535
    return dark


@pytest.mark.parametrize("ending", [".png", ".webp", ".tiff"])
def test_ink_on_transparent_ground_is_told_apart(tree, ending):
    put(tree.path / "pages" / f"1{ending}", notes(1))
    put(tree.needles / "copy" / f"a{ending}", notes(1))
    put(tree.needles / "half" / f"a{ending}", half(notes(1)))
    for seed in range(2, 8):
        put(tree.needles / f"other {seed}" / f"a{ending}", notes(seed))
    assert tree.run(haystack=("pages",)).printed == [f"other {seed}" for seed in range(2, 8)]


@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_dark_scans_with_hot_pixels_are_told_apart(tree, ending):
    put(tree.path / "scans" / f"1{ending}", scan(1))
    put(tree.needles / "copy" / f"a{ending}", scan(1))
    put(tree.needles / "half" / f"a{ending}", half(scan(1)))
    for seed in range(2, 8):
        put(tree.needles / f"other {seed}" / f"a{ending}", scan(seed))
    assert tree.run(haystack=("scans",)).printed == [f"other {seed}" for seed in range(2, 8)]


def test_a_deep_scan_and_its_copy_of_8_bits_are_found(tree):
    deep = cv2.resize(draw(1), (640, 480)).astype(np.uint16) * 257
    put(tree.needles / "deep" / "a.tiff", deep)
    down = np.arange(480)[:, None] * 90 + np.zeros((480, 640))
    put(tree.path / "haystack" / "sky.png", np.round(down / 257).astype(np.uint8))
    put(tree.needles / "deep sky" / "a.png", down.astype(np.uint16))
    assert tree.run().printed == []


def test_pictures_on_their_side_are_found_with_rotated(tree):
    for turns in (1, 2, 3):
        for seed in range(8):
            turned = np.ascontiguousarray(np.rot90(draw(seed), turns))
            put(tree.needles / f"{turns}" / f"{seed}.jpg", encode(turned, quality=70))
            unseen = np.ascontiguousarray(np.rot90(draw(seed + 200), turns))
            put(tree.needles / f"unseen {turns}" / f"{seed}.jpg", encode(unseen))
    put(tree.needles / "upright" / "1.jpg", resized(draw(1), 200, 150))
    unseen = ["unseen 1", "unseen 2", "unseen 3"]
    assert tree.run().printed == ["1", "2", "3", *unseen]
    for _ in range(2):  # from the files, then from the cache
        done = tree.run("--rotated", "--cache", "cache")
        assert done.printed == unseen and done.err == ""
    assert tree.run("--cache", "cache").printed == ["1", "2", "3", *unseen]
    done = tree.run("--rotated", "--article")
    assert done.status == 2 and done.err.count("\n") == 1
