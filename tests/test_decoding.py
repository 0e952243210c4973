"""2 Decoding: formats, sizes, orientation, several pictures in a file, damage, memory."""

import concurrent.futures
import io
import os
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest

from conftest import (
    VIDEO,
    command,
    count_unreadable,
    draw,
    encode,
    half,
    hash_of,
    heic,
    mutated,
    png_that_claims,
    put,
    stored,
    table,
    with_exif,
    with_segment,
)
from hash_and_search import LARGE, decode, is_large, open_picture
from pictures import resized

linux = sys.platform.startswith("linux")
AVIF = [".avif"] if cv2.haveImageWriter(".avif") else []  # OpenCV for Windows can't write it


def grainy(seed, width=640, height=480):
    """A drawn picture with grain, of which a file is cut before its details."""
    grain = np.random.default_rng([seed, 1]).normal(0, 12, (height, width, 1))
    return np.clip(draw(seed, width, height) + grain, 0, 255).astype(np.uint8)


def progressive(image, quality=90):
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def animation(frames, ending):
    if ending == ".png":  # it wants an alpha channel
        frames = [np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)]) for frame in frames]
    moving = cv2.Animation()
    moving.frames, moving.durations = frames, np.full(len(frames), 100)
    return cv2.imencodeanimation(ending, moving)[1].tobytes()


# ------------------------------------------------------------------------------------------------
# JPEG: sizes, orientation, reduced reading
# ------------------------------------------------------------------------------------------------


def test_a_large_jpeg_is_read_reduced_and_hashes_like_a_small_one(tmp_path):
    image = draw(5, 2400, 1800)
    image = cv2.add(image, np.random.default_rng(0).integers(0, 24, image.shape).astype(np.uint8))
    large = tmp_path / "large.jpg"
    large.write_bytes(encode(image, quality=95))
    assert large.stat().st_size > 256 * 1024
    assert decode(large.read_bytes())[0].shape == (450, 600)
    small = hash_of(encode(half(half(half(image)))))
    assert (hash_of(large.read_bytes()) ^ small).bit_count() <= 1


@pytest.mark.parametrize(
    "size", [(1600, 1200), (1200, 1600), (500, 400), (511, 511), (2100, 2047), (2047, 2046)]
)
def test_a_jpeg_is_read_no_smaller_than_256_pixels(size):
    image, whole = decode(encode(draw(1, *size)))
    assert whole == size
    assert min(image.shape) >= min(256, *size)
    assert min(image.shape) < 512


def test_orientation_is_honoured():
    image = draw(7)
    upright = hash_of(encode(image))
    for orientation in range(1, 9):
        content = stored(image, orientation)
        assert (hash_of(content) ^ upright).bit_count() <= 1, orientation
        assert decode(content)[1] == (320, 240), orientation


@pytest.mark.parametrize("side", [1805, 1806, 1807])
def test_a_reduced_jpeg_has_no_more_than_its_own_pixels(side):
    """A decoder rounds up, and what is beyond the last row or column is padding."""
    image = draw(1, 2405, side)
    for orientation in range(1, 9):
        reduced, size = decode(stored(image, orientation))
        assert size == (2405, side)
        assert reduced.shape == (round(side / 4), 601), orientation
        whole = cv2.cvtColor(resized(image, *reduced.shape[::-1]), cv2.COLOR_BGR2GRAY)
        assert cv2.absdiff(reduced, whole).max() < 12, orientation


def test_the_size_is_that_of_the_picture_not_of_its_preview():
    preview = encode(draw(1, 64, 48))
    picture = encode(draw(1, 2400, 1800), quality=95)
    content = with_segment(picture, preview)
    image, size = decode(content)
    assert image.shape == (450, 600) and size == (2400, 1800)
    for filled in (b"\xff", b"\xff\x01"):  # a fill byte, a marker alone: it may be read whole
        image, size = decode(content[:2] + filled + content[2:])
        assert size == (2400, 1800) and image.shape in ((450, 600), (1800, 2400))
        assert not is_large(content[:2] + filled + content[2:])


# ------------------------------------------------------------------------------------------------
# Several pictures in a file
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png", *AVIF])
def test_an_animation_is_more_than_its_first_picture(tree, ending):
    same = animation([draw(1), draw(2)], ending)
    put(tree.path / "haystack" / f"moving{ending}", same)
    put(tree.path / "haystack" / f"still{ending}", animation([draw(20)], ending))
    put(tree.needles / "same" / f"a{ending}", same)
    put(tree.needles / "other" / f"a{ending}", animation([draw(1), draw(3)], ending))
    put(tree.needles / "its first picture as JPEG" / "a.jpg", draw(30))
    put(tree.needles / "still" / "a.jpg", draw(20))
    assert tree.run().printed == ["its first picture as JPEG", "other"]


def test_an_animation_of_which_a_picture_is_damaged_is_still_two(tree):
    """OpenCV passes over the damaged one, and gives the other alone."""
    whole = animation([draw(1), draw(2)], ".webp")
    at = whole.index(b"VP8")  # not the file's own VP8X
    at = whole.index(b"VP8", at + 3)
    for number, place in enumerate((at, whole.index(b"ANMF"))):
        damaged = whole[: place + 1] + b"?" + whole[place + 2 :]
        put(tree.needles / f"{number}" / "a.webp", damaged)
    for seed in (1, 2):
        put(tree.path / "haystack" / f"{seed}.png", draw(seed))
    assert tree.run().printed == ["0", "1"]


def test_an_album_is_more_than_its_first_page(tree):
    put(tree.path / "haystack" / "cover.png", draw(1))
    for folder in ("copy", "other"):
        (tree.needles / folder).mkdir()
    albums = [tree.path / "haystack" / "a.tif", tree.needles / "copy" / "a.tif"]
    for album in albums:
        cv2.imwritemulti(str(album), [draw(1), draw(20)])
    cv2.imwritemulti(str(tree.needles / "other" / "a.tif"), [draw(1), draw(21)])
    album = albums[0].read_bytes()
    put(tree.needles / "damaged" / "a.tif", album[: len(album) * 3 // 4])
    put(tree.needles / "one page" / "a.tif", draw(1))
    assert tree.run().printed == ["damaged", "other"]
    assert tree.run("--article").printed == []


@pytest.mark.parametrize("between", [b"", b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data"])
def test_a_motion_photo_is_more_than_its_picture(tree, between):
    video = b"\0\0\0\x18ftypmp42" + VIDEO
    put(tree.needles / "motion" / "MVIMG_1.jpg", encode(draw(1)) + between + video)
    put(tree.needles / "still" / "1.jpg", encode(draw(1)) + between)
    done = tree.run("--report", "table.csv")
    assert done.printed == ["motion"]
    assert [row["reason"] for row in table(tree.path / "table.csv")] == [
        "the library has its picture, but not its video",
        "",
    ]


def test_a_heic_with_a_video_in_it_is_more_than_its_picture(tree):
    picture, video = heic(draw(1)), b"\0\0\0\x18ftypmp42" + VIDEO
    box = (len(video) + 8).to_bytes(4, "big") + b"mpvd" + video
    put(tree.needles / "motion" / "1.heic", picture + box)
    put(tree.needles / "still" / "1.heic", picture)
    assert tree.run().printed == ["motion"]


@pytest.mark.parametrize("between", [b"", b"\0" * 100])
def test_a_jpeg_with_a_second_one_behind_it_is_more_than_its_first(tree, between):
    both = encode(draw(1)) + between + encode(draw(30))
    put(tree.needles / "its first is there" / "a.jpg", both)
    put(tree.needles / "its first is there" / "b.mpo", both)
    put(tree.needles / "its first alone" / "a.jpg", encode(draw(1), quality=70))
    found = tree.findings()
    assert found["its first alone/a.jpg"]["status"] == "found"
    for name in ("a.jpg", "b.mpo"):
        row = found[f"its first is there/{name}"]
        assert (row["status"], row["match"]) == ("missing", "") and row["reason"]
    put(tree.path / "haystack" / "both.jpg", both)
    found = tree.findings()
    assert {row["status"] for row in found.values()} == {"found"}


# ------------------------------------------------------------------------------------------------
# What plain colours hide
# ------------------------------------------------------------------------------------------------


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


def ink(seed):
    """Black, on what is transparent: BGRA."""
    return np.dstack([np.zeros((240, 320, 3), np.uint8), draw(seed)[:, :, 0]])


def dark(seed):
    """8 of 16 bits, the lower ones."""
    return draw(seed)[:, :, 0].astype(np.uint16)


def scan(seed):
    """A 16-bit scan that uses the darkest levels only, with three hot pixels."""
    page = draw(seed, 640, 480)[:, :, 0].astype(np.uint16)
    for row, column in ((10, 10), (200, 300), (470, 20)):
        page[row, column] = 65535
    return page


@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_of_what_plain_colours_hide_only_the_same_bytes_are_a_copy(tree, ending):
    kinds = (dark, scan)
    for kind in kinds:
        name = kind.__name__
        put(tree.path / "hidden" / name / f"1{ending}", kind(1))
        put(tree.needles / "same bytes" / f"{name}{ending}", kind(1))
        put(tree.needles / f"half {name}" / f"a{ending}", half(kind(1)))
        for seed in range(2, 5):
            put(tree.needles / f"other {name} {seed}" / f"a{ending}", kind(seed))
    found = tree.findings(haystack=("hidden",))
    assert len(found) == 5 * len(kinds)
    for path, row in found.items():
        if path.startswith("same"):
            assert (row["status"], row["distance"]) == ("found", "")
        else:
            assert row["status"] == "missing" and row["reason"], path


@pytest.mark.parametrize("ending", [".png", ".tiff", ".webp"])
def test_transparent_pictures_are_told_apart_by_what_is_opaque(tree, ending):
    for kind in (notes, ink):
        name = kind.__name__
        put(tree.path / "sheer" / name / f"1{ending}", kind(1))
        put(tree.needles / f"half {name}" / f"a{ending}", half(kind(1)))
        for seed in range(2, 5):
            put(tree.needles / f"other {name} {seed}" / f"a{ending}", kind(seed))
    printed = tree.run(haystack=("sheer",)).printed
    assert len(printed) == 6 and all(name.startswith("other") for name in printed)


def test_a_deep_scan_and_its_copy_of_8_bits_are_found(tree):
    deep = cv2.resize(draw(1), (640, 480)).astype(np.uint16) * 257
    put(tree.needles / "deep" / "a.tiff", deep)
    put(tree.path / "haystack" / "deep.png", draw(30, 640, 480).astype(np.uint16) * 257)
    put(tree.needles / "shallow" / "a.jpg", draw(30, 640, 480))
    put(tree.needles / "opaque" / "a.png", np.dstack([draw(2), np.full((240, 320), 255, np.uint8)]))
    assert tree.run().printed == []
    down = np.arange(480)[:, None] * 90 + np.zeros((480, 640))
    put(tree.path / "haystack" / "sky.png", np.round(down / 257).astype(np.uint8))
    put(tree.needles / "deep sky" / "a.png", down.astype(np.uint16))
    assert tree.run().printed == ["deep sky"]  # whose 16 bits may hide something


# ------------------------------------------------------------------------------------------------
# HEIC
# ------------------------------------------------------------------------------------------------


def with_heif(tree, code):
    """An environment that has another pillow-heif."""
    put(tree.path / "without" / "pillow_heif.py", code)
    return {**os.environ, "PYTHONPATH": str(tree.path / "without")}


def test_a_folder_of_heic_is_accounted_for_without_the_package(tree):
    put(tree.needles / "100APPLE" / "IMG_0.JPG", encode(draw(1)))
    pictures = [heic(draw(100 + count, 64, 48)) for count in range(1, 200)]
    for count, content in enumerate(pictures, 1):
        put(tree.needles / "100APPLE" / f"IMG_{count}.HEIC", content)
    env = with_heif(tree, b"raise ImportError('no pillow_heif')")
    reports = ("--report", "list.txt", "--report", "table.csv")
    done = tree.run(*reports, env=env)
    assert done.status == 0 and done.printed == []
    (advice,) = done.warnings
    assert advice.startswith("199 HEIC files are compared by their bytes only; ")
    assert "pip install" in advice and "pillow-heif>=1.8" in advice
    assert done.partly == ["199 of 200 lacking: 100APPLE"]
    assert len((tree.path / "list.txt").read_text().splitlines()) == 199
    statuses = [row["status"] for row in table(tree.path / "table.csv")]
    assert statuses.count("missing") == 199 and statuses.count("found") == 1
    for count, content in enumerate(pictures, 1):
        put(tree.path / "haystack" / f"{count}.heic", content)
    done = tree.run(*reports, env=env)
    assert {row["status"] for row in table(tree.path / "table.csv")} == {"found"}
    (advice,) = done.warnings
    assert advice.startswith("398 HEIC files are compared by their bytes only; ")


def test_an_older_pillow_heif_is_not_used(tree):
    put(tree.needles / "x" / "a.heic", heic(draw(1)))
    done = tree.run(env=with_heif(tree, b"__version__ = '1.7.0'"))
    assert done.printed == ["x"] and "pillow-heif>=1.8" in done.err
    assert tree.run().printed == []


def test_heic_and_its_jpeg_copies_find_each_other(tree):
    for seed in range(3):
        put(tree.path / "haystack" / f"{seed}.heic", heic(draw(30 + seed)))
        put(tree.path / "haystack" / f"{seed}.jpg", draw(40 + seed))
        copy = encode(draw(30 + seed), quality=40)
        put(tree.needles / "JPEG" / f"{seed}.jpg", copy)
        put(tree.needles / "HEIC" / f"{seed}.HEIC", heic(draw(40 + seed), quality=60))
        for orientation, turns in ((3, 2), (6, 1), (8, 3)):
            turned = np.ascontiguousarray(np.rot90(draw(40 + seed), turns))
            content = heic(turned, orientation)
            assert b"irot" in content
            put(tree.needles / f"turned {orientation}" / f"{seed}.hif", content)
    put(tree.needles / "phone's" / "a.jpg", heic(draw(30)))  # a HEIC named .jpg
    put(tree.needles / "other" / "a.heic", heic(draw(60)))
    put(tree.needles / "other" / "JPEG.heic", draw(61).tobytes())
    put(tree.needles / "really a JPEG" / "a.heic", encode(draw(1)))
    done = tree.run("--report", "table.csv")
    assert done.printed == ["other"]
    (warning,) = done.warnings
    assert "other/JPEG.heic" in warning.replace(os.sep, "/")
    by_folder = {}
    for row in table(tree.path / "table.csv"):
        by_folder.setdefault(row["directory"], set()).add(row["status"])
    assert by_folder.pop("other") == {"missing", "unreadable"}
    assert len(by_folder) == 7 and set.union(*by_folder.values()) == {"found"}


def test_a_cache_made_without_the_package_does_not_hold_once_it_is_there(tree):
    put(tree.needles / "x" / "a.heic", heic(draw(1)))
    without = with_heif(tree, b"raise ImportError('no pillow_heif')")
    assert tree.run("--cache", "cache", env=without).printed == ["x"]
    assert tree.run("--cache", "cache").printed == []


def test_an_avif_is_turned_upright(tree):
    for orientation, turns in ((1, 0), (3, 2), (6, 1), (8, 3)):
        image = np.ascontiguousarray(np.rot90(draw(2), turns))
        content = with_exif(image, ".avif", orientation=orientation)
        put(tree.needles / f"turned {orientation}" / "a.avif", content)
    put(tree.needles / "cut" / "a.avif", with_exif(draw(3), ".avif")[:-500])
    put(tree.needles / "several" / "a.avif", several(draw(4), draw(5)))
    done = tree.run()
    assert done.printed == ["cut", "several"]
    assert [line for line in done.warnings if "a.avif" in line] == done.warnings
    assert len(done.warnings) == 1


def several(*images):
    """An AVIF of several pictures."""
    from PIL import Image

    first, *others = (Image.fromarray(each[:, :, ::-1]) for each in images)
    file = io.BytesIO()
    first.save(file, "AVIF", save_all=True, append_images=others)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["cut", "mutated"])
def test_damaged_heic_is_named_and_ends_no_run(tree, kind):
    whole = heic(draw(1, 200, 150))
    if kind == "cut":
        damaged = [whole[: len(whole) * part // 11] for part in range(1, 11)]
    else:
        random = np.random.default_rng(12)
        damaged = [mutated(whole, random) for _ in range(1000)]
    for number, content in enumerate(damaged):
        put(tree.needles / "damaged" / f"{number}.heic", content)
    done = tree.run("--report", "table.csv")
    statuses = [row["status"] for row in table(tree.path / "table.csv")]
    assert done.status == 0 and len(statuses) == len(damaged)
    assert count_unreadable(done) == statuses.count("unreadable")
    unreadable = statuses.count("unreadable")
    assert unreadable == 10 if kind == "cut" else unreadable > 300


# ------------------------------------------------------------------------------------------------
# Damage
# ------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_named_and_not_found(tree):
    whole, png = encode(draw(1)), encode(draw(1), ".png")
    broken = {
        "empty.jpg": b"",
        "cut.jpg": whole[: len(whole) // 2],
        "header.jpg": whole[:20],
        "cut.png": png[: len(png) // 2],
        "text.jpg": b"hello",
        "text.webp": b"hello",
        "claim.png": png_that_claims(60000, 6000),
    }
    for name, content in broken.items():
        put(tree.needles / "broken" / name, content)
        put(tree.path / "haystack" / "broken" / name, content[:-1])
    if os.name != "nt":  # links want rights there
        os.symlink("nowhere", tree.needles / "broken" / "dangling.jpg")
    put(tree.needles / "good" / "1.jpg", whole)
    done = tree.run("--report", "table.csv")
    assert (done.status, done.printed) == (0, ["broken"])
    assert "processed 8 images" in done.out
    rows = table(tree.path / "table.csv")
    reasons = {row["needle"]: row["reason"] for row in rows if row["status"] == "unreadable"}
    broken = {
        os.path.join(root, "broken", name) for root in ("needles", "haystack") for name in broken
    }
    dangling = os.path.join("needles", "broken", "dangling.jpg")
    assert {*reasons} - {dangling} == broken
    assert os.name == "nt" or reasons[dangling].startswith("No such file")
    empty, claims = (os.path.join("needles", "broken", name) for name in ("empty.jpg", "claim.png"))
    assert reasons[empty] == "the file is empty"
    assert reasons[claims].startswith("it has more than 268435456 pixels")
    assert count_unreadable(done) == len(reasons)
    assert len(done.warnings) == 2 * 4  # and no line of OpenCV's own
    if os.name != "nt":  # there the lines of the C libraries stay
        assert all(line.startswith("[") for line in done.err.splitlines())


def test_stumps_of_different_photographs_are_no_copies(tree):
    for seed in (30, 31):
        content = encode(draw(seed, 640, 480))
        for share in (4, 8, 16):
            root = tree.path / "haystack" if seed == 30 else tree.needles / "stumps"
            put(root / f"{share}.jpg", content[: 700 + (len(content) - 700) // share])
    assert tree.run().printed == ["stumps"]


def test_a_damaged_file_vouches_for_no_whole_photograph(tree):
    kinds = {
        "progressive.jpg": progressive,
        "lossy.webp": lambda image: encode(image, ".webp", 80),
    }
    for number, (name, encoded) in enumerate(kinds.items()):
        image = grainy(30 + number)
        whole = encoded(image)
        rest = len(whole) // 8
        stem, ending = name.split(".")
        put(tree.path / "damaged" / f"{stem} cut.{ending}", whole[:rest])
        zeros = whole[:rest] + bytes(len(whole) - rest)
        put(tree.path / "damaged" / f"{stem} zeros.{ending}", zeros)
        put(tree.needles / f"{ending} whole" / f"a.{ending}", whole)
        put(tree.needles / f"{ending} whole" / "a.png", image)
        put(tree.needles / f"{ending} small" / "a.jpg", half(image))
        put(tree.path / "sound" / name, whole)
    found = tree.findings(haystack=("damaged",))
    assert len(found) == 6
    assert {path: row["match"] for path, row in found.items() if row["match"]} == {}
    found = tree.findings(haystack=("damaged", "sound"))
    assert {row["status"] for row in found.values()} == {"found"}  # so they are copies


def test_a_jpeg_that_lost_a_row_of_blocks_vouches_for_nothing(tree):
    """Flat ground hides the grey that libjpeg puts there."""
    image = grainy(3)
    image[-60:] = cv2.GaussianBlur(image[-60:], (0, 0), 25) // 2 + 64
    whole = encode(image, quality=90)

    def lost_rows(data):
        decoded = cv2.imdecode(np.frombuffer(data + b"\xff\xd9", np.uint8), cv2.IMREAD_GRAYSCALE)
        return (decoded == 128).all(1).sum()

    cut = next(whole[:-lost] for lost in range(2, 9999, 100) if 8 <= lost_rows(whole[:-lost]) < 24)
    put(tree.path / "haystack" / "cut.jpg", cut)
    put(tree.needles / "whole" / "a.jpg", whole)
    done = tree.run()
    assert done.printed == ["whole"] and "the end of the file is missing" in done.err


@pytest.mark.parametrize("lost", [1, 2, 10])
def test_a_jpeg_that_lost_its_end_still_matches(tree, lost):
    put(tree.needles / "short" / "1.jpg", encode(draw(1))[:-lost])
    put(tree.path / "haystack" / "short.jpg", encode(draw(41))[:-lost])
    put(tree.needles / "whole" / "2.jpg", encode(draw(41)))
    done = tree.run()
    assert (done.printed, done.warnings) == ([], [])


def test_mutated_files_are_hashed_or_named(tree):
    rng = np.random.default_rng(6)
    endings = [".jpg", ".png", ".webp", ".tiff", ".gif"]
    seeds = []
    for ending in endings:
        try:
            seeds.append((ending, encode(draw(46, 96, 64), ending)))
        except Exception as error:  # older OpenCV writes no GIF
            assert ending == ".gif", error
    count = 3000
    for number in range(count):
        ending, content = seeds[number % len(seeds)]
        if rng.random() < 0.1:
            content = content[:40] + seeds[number % 2][1][40:]
        put(tree.path / "fuzz" / f"{number}{ending}", mutated(content, rng))
    done = tree.run("--report", "table.csv", needles="fuzz")
    statuses = [row["status"] for row in table(tree.path / "table.csv")]
    assert done.status == 0 and len(statuses) == count
    assert statuses.count("unreadable") == count_unreadable(done) > 100
    assert statuses.count("missing") == count - statuses.count("unreadable") > 100


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_waited_for(tree):
    (tree.needles / "pipe").mkdir()
    os.mkfifo(tree.needles / "pipe" / "a.jpg")
    os.mkfifo(tree.needles / "pipe" / "a.mov")
    done = tree.run(timeout=30)
    assert done.printed == ["pipe"]
    assert "a.jpg: not a regular file" in done.err and "a.mov: not a regular file" in done.err


# ------------------------------------------------------------------------------------------------
# Memory
# ------------------------------------------------------------------------------------------------


def test_what_is_small_by_its_header_is_not_decoded_one_at_a_time(tmp_path):
    image = draw(46, 640, 480)
    sheer = np.dstack([image, image[:, :, 0]])
    contents = {
        "moving.webp": animation([image, image[::-1]], ".webp"),
        "lossy.webp": cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 80])[1].tobytes(),
        "sheer.webp": cv2.imencode(".webp", sheer, [cv2.IMWRITE_WEBP_QUALITY, 80])[1].tobytes(),
        "a.heic": heic(image),
        **{f"a{end}": encode(image, end) for end in (".jpg", ".png", *AVIF)},
    }
    for name, content in contents.items():
        assert not is_large(content), name
        put(tmp_path / name, content)
    for number in range(24):
        put(tmp_path / "24" / f"{number}.webp", contents["lossy.webp"])
    sound = [path for path in tmp_path.rglob("*.*") if path.name != "moving.webp"]
    for name in ("a.heic", *(f"a{end}" for end in AVIF)):
        decode(contents[name])  # imports the packages
    with concurrent.futures.ThreadPoolExecutor(8) as pool, LARGE:
        # As if a large picture were just decoded: the others need not wait.
        opened = [pool.submit(open_picture, os.fspath(path)) for path in sound]
        done, _ = concurrent.futures.wait(opened, timeout=60)
        assert len(done) == len(sound) == len(contents) + 23
    assert {each.result()[1] for each in opened} == {(640, 480)}


def test_what_may_be_large_waits_for_its_turn():
    contents = {
        "a.png": png_that_claims(16384, 16384),
        "a.webp": b"RIFF\0\0\0\0WEBPVP8X" + bytes(2**23),
        "a.avif": b"\0\0\0\x0cftypavif" + bytes(2**23),
        "a.tiff": encode(draw(46), ".tiff"),
        "unknown": b"unknown",
    }
    for name, content in contents.items():
        assert is_large(content), name


def test_a_limit_that_is_a_number_holds(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1), quality=60))
    done = tree.run(env={**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": "1000"})
    assert done.printed == ["x"] and count_unreadable(done) == 9
    put(tree.needles / "x" / "same.jpg", encode(draw(1)))
    done = tree.run(env={**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": "1000"})
    assert "it has more than 1000 pixels" in done.err
    assert done.printed == []  # whose bytes are enough


def run_and_measure(tree, *options):
    """Return the lines that a run prints, and how many GB of memory it took at most."""
    measure = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    arguments = command("-a", "haystack", "-n", "needles", *options)
    arguments = [sys.executable, "-c", measure, *arguments]
    done = subprocess.run(arguments, cwd=tree.path, capture_output=True, text=True, check=True)
    *lines, kilobytes = done.stdout.splitlines()
    return lines, int(kilobytes) / 2**20


@pytest.mark.skipif(not linux, reason="reads what Linux counts of a child's memory")
def test_files_that_claim_to_be_large_do_not_take_the_memory(tree):
    for number in range(2):
        put(tree.needles / "claims" / f"{number}.png", png_that_claims(16384, 16384))
        chunk = png_that_claims(96, 64)[:33] + b"\xf8\0\0\0IDAT" + b"x" * 20
        put(tree.needles / "claims" / f"chunk {number}.png", chunk)
    lines, gigabytes = run_and_measure(tree)
    assert lines[-1] == "[INFO] claims"
    assert gigabytes < 2.5


@pytest.mark.skipif(not linux, reason="reads what Linux counts of a child's memory")
def test_a_small_file_that_claims_much_is_named(tree):
    """Decoders of AVIF and of JPEG 2000 take up to 20 bytes for each pixel that is claimed."""
    avif, wavelets = with_exif(draw(1), ".avif"), encode(draw(1), ".jp2")
    sizes = avif.index(b"ispe") + 8, wavelets.index(b"\xff\x4f\xff\x51") + 8
    put(tree.needles / "as usual" / "a.avif", avif)
    for name, content, size in zip(("a.avif", "a.jpg"), (avif, wavelets), sizes, strict=True):
        claims = content[:size] + struct.pack(">II", 16383, 16383) + content[size + 8 :]
        put(tree.needles / "claims" / name, claims)
    lines, gigabytes = run_and_measure(tree, "--report", "page.html", "--report", "table.csv")
    reasons = {row["needle"]: row["reason"] for row in table(tree.path / "table.csv")}
    assert lines[-1] == "[INFO] claims"
    assert reasons["needles/claims/a.avif"].startswith("it has more than 67108864 pixels")
    assert reasons["needles/claims/a.jpg"].startswith("not an image that OpenCV can decode")
    assert gigabytes < 0.5  # and the page does not try it again


def test_what_is_nearly_nothing_is_named_and_its_neighbours_are_read(tree):
    starts = [
        b"\xff\x4f\xff\x51\xff\xd9",
        b"\xff\xd8\xff\xc0\xff\xd9",
        b"\x89PNG",
        b"RIFF",
        b"II*\0",
    ]
    for number, start in enumerate((*starts, b"MM\0+", b"\0\0\0\x10ftyp", b"\0\0\0\x10ftypheic")):
        put(tree.path / "haystack" / f"0 {number}.jp2", start)
        put(tree.needles / "nothing" / f"{number}.png", start + b" ")
    put(tree.needles / "seen" / "a.jpg", encode(draw(1), quality=60))
    put(tree.path / "haystack" / "1.png", draw(1))
    done = tree.run()
    assert done.printed == ["nothing"] and "hash failed" not in done.err


@pytest.mark.skipif(not linux, reason="reads what Linux counts of a child's memory")
def test_large_files_are_read_one_at_a_time(tree):
    """Each in a batch of its own, so that each thread has one."""
    for number in range(8):
        path = tree.needles / f"{number}" / "00.tif"
        put(path, encode(draw(50 + number), ".tif"))
        os.truncate(path, 200_000_000 + number)  # sparse
        for small in range(1, 16):
            put(tree.needles / f"{number}" / f"{small:02}.jpg", encode(draw(small, 64, 48)))
    put(tree.needles / "too large" / "00.tif", encode(draw(54), ".tif"))
    os.truncate(tree.needles / "too large" / "00.tif", 2**32)
    lines, gigabytes = run_and_measure(tree, "--jobs", "8", "--report", "table.csv")
    rows = {row["needle"]: row for row in table(tree.path / "table.csv")}
    assert [rows[f"needles/{number}/00.tif"]["status"] for number in range(8)] == ["missing"] * 8
    assert "too large" in lines[-1]
    assert rows["needles/too large/00.tif"]["reason"] == "the file has 2 GiB or more"
    assert gigabytes < 0.4  # which includes one of them
