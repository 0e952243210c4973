"""Every file is accounted for: by its bytes, as HEIC, as an animation, where a copy is smaller."""

import io
import os
import shutil
import subprocess

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from conftest import TOP, draw, encode, half, put, stored, table
from test_trust import mutated

pillow_heif.register_heif_opener()
rng = np.random.default_rng(11)
FILM, RAW = b"\0\0\0\x14ftypqt  " + rng.bytes(100_000), b"II*\0" + rng.bytes(50_000)
REPORTS = ("--report", "list.txt", "--report", "table.csv", "--report", "page.html")


def heic(image, orientation=1, quality=90):
    """A BGR image as HEIC, turned upright by irot where orientation says so."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[274] = orientation
    picture = Image.fromarray(image[:, :, ::-1])
    picture.save(file, "HEIF", quality=quality, exif=exif.tobytes())
    return file.getvalue()


def animation(frames, ending):
    if ending == ".png":  # it wants an alpha channel
        frames = [np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)]) for frame in frames]
    moving = cv2.Animation()
    moving.frames, moving.durations = frames, np.full(len(frames), 100)
    return cv2.imencodeanimation(ending, moving)[1].tobytes()


def without_heif(tree):
    """An environment that has no pillow-heif."""
    put(tree.path / "without" / "pillow_heif.py", b"raise ImportError('no pillow_heif')")
    return {**os.environ, "PYTHONPATH": str(tree.path / "without")}


def statuses(tree):
    return {row["needle"]: row["status"] for row in table(tree.path / "table.csv")}


def test_a_folder_of_heic_is_accounted_for_without_the_package(tree):
    put(tree.needles / "100APPLE" / "IMG_0.JPG", encode(draw(1)))
    pictures = [heic(draw(100 + count, 64, 48)) for count in range(1, 200)]
    for count, content in enumerate(pictures, 1):
        put(tree.needles / "100APPLE" / f"IMG_{count}.HEIC", content)
    env = without_heif(tree)
    done = tree.run(*REPORTS, env=env)
    assert done.status == 0 and done.printed == []
    assert done.err.splitlines() == [
        "[WARN] 199 HEIC files are compared by their bytes only; "
        "to decode HEIC, run: python -m pip install 'pillow-heif>=1.8'",
        "[WARN] 100APPLE: 1 of 200 found",
    ]
    assert len((tree.path / "list.txt").read_text().splitlines()) == 199
    assert list(statuses(tree).values()).count("missing") == 199
    page = (tree.path / "page.html").read_text()
    assert "<h2>Partly found (1)</h2>" in page and "<h2>All found" not in page
    for count, content in enumerate(pictures, 1):
        put(tree.path / "haystack" / f"{count}.heic", content)
    done = tree.run(*REPORTS, env=env)
    assert set(statuses(tree).values()) == {"found"}
    assert done.err == (
        "[WARN] 398 HEIC files are compared by their bytes only; "
        "to decode HEIC, run: python -m pip install 'pillow-heif>=1.8'\n"
    )


def test_an_older_pillow_heif_is_not_used(tree):
    put(tree.path / "without" / "pillow_heif.py", b"__version__ = '1.7.0'")
    put(tree.needles / "x" / "a.heic", heic(draw(1)))
    env = {**os.environ, "PYTHONPATH": str(tree.path / "without")}
    done = tree.run(env=env)
    assert done.printed == ["x"] and "pip install 'pillow-heif>=1.8'" in done.err
    assert tree.run().printed == []


def test_heic_and_its_jpeg_copies_find_each_other(tree):
    for seed in range(6):
        put(tree.path / "haystack" / f"{seed}.heic", heic(draw(30 + seed, 640, 480)))
        put(tree.path / "haystack" / f"{seed}.jpg", draw(40 + seed, 640, 480))
        copy = encode(draw(30 + seed, 640, 480), quality=40)
        put(tree.needles / "JPEG" / f"{seed}.jpg", copy)
        put(tree.needles / "HEIC" / f"{seed}.HEIC", heic(draw(40 + seed, 640, 480), quality=60))
        for orientation, turns in ((3, 2), (6, 1), (8, 3)):
            turned = np.ascontiguousarray(np.rot90(draw(40 + seed, 640, 480), turns))
            content = heic(turned, orientation)
            assert b"irot" in content
            put(tree.needles / f"turned {orientation}" / f"{seed}.hif", content)
    put(tree.needles / "phone's" / "a.jpg", heic(draw(30, 640, 480)))  # a HEIC named .jpg
    put(tree.needles / "other" / "a.heic", heic(draw(60)))
    put(tree.needles / "other" / "JPEG.heic", draw(61).tobytes())
    put(tree.needles / "really a JPEG" / "a.heic", encode(draw(1)))
    done = tree.run("--report", "table.csv")
    assert done.printed == ["other"]
    assert done.err.count("\n") == 1 and "other/JPEG.heic" in done.err.replace(os.sep, "/")
    by_folder = {}
    for path, status in statuses(tree).items():
        by_folder.setdefault(path.split(os.sep)[1], set()).add(status)
    assert by_folder.pop("other") == {"missing", "unreadable"}
    assert set.union(*by_folder.values()) == {"found"}


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
    found = list(statuses(tree).values())
    assert done.status == 0 and len(found) == len(damaged)
    assert done.err.count("[WARN] cannot read ") == found.count("unreadable")
    assert found.count("unreadable") == 10 if kind == "cut" else found.count("unreadable") > 300


def test_bytes_decide_where_pixels_do_not(tree):
    broken = encode(draw(1))[:5000]
    pages = [np.full((60, 80, 3), level, np.uint8) for level in (255, 254)]
    contents = {
        "film.MOV": FILM,
        "raw.DNG": RAW,
        "raw.cr2": RAW[::-1],
        "broken.jpg": broken,
        "blank.png": encode(pages[0], ".png"),
    }
    for name, content in contents.items():
        put(tree.path / "haystack" / "a" / name, content)
        put(tree.needles / "same" / f"of another name {name}", content)
        put(tree.needles / "other" / name, content[:-1] + bytes([content[-1] ^ 1]))
        put(tree.needles / "longer" / name, content + b"\0")
    put(tree.needles / "other" / "blank.png", encode(pages[1], ".png"))
    put(tree.needles / "other" / "empty.mov", b"")
    put(tree.path / "haystack" / "empty.mov", b"")
    done = tree.run("--report", "table.csv")
    assert done.printed == ["longer", "other"]
    rows = table(tree.path / "table.csv")
    for row in rows:
        if row["directory"] == "same":
            assert (row["status"], row["distance"]) == ("found", "")
        else:
            damaged = "broken" in row["needle"] or "empty" in row["needle"]
            assert row["status"] == ("unreadable" if damaged else "missing"), row
    assert f"cannot read {os.path.join('needles', 'other', 'empty.mov')}: the file is empty" in (
        done.err
    )


def test_a_raw_file_is_not_found_through_the_picture_in_it(tree):
    preview = encode(draw(1), ".tiff")
    put(tree.needles / "negatives" / "1.dng", preview)
    put(tree.path / "haystack" / "1.tif", preview[:-1] + b"x")
    assert tree.run().printed == ["negatives"]


def test_many_files_of_one_size_are_told_apart(tree):
    for number in range(600):
        content = number.to_bytes(4, "big") * 5000
        put(tree.path / "haystack" / f"{number}.arw", content)
        if number % 2:
            put(tree.needles / "raw" / f"{number}.arw", content)
        put(tree.needles / "raw" / f"new {number}.arw", (number + 600).to_bytes(4, "big") * 5000)
    assert tree.run().err == "[WARN] raw: 300 of 900 found\n"


def test_the_readmes_command_copies_films_too(tree):
    put(tree.path / "haystack" / "a.mov", FILM)
    put(tree.needles / "x" / "a.mov", FILM)
    put(tree.needles / "x" / "b.mov", FILM[::-1])
    put(tree.needles / "x" / "c.nef", RAW)
    tree.run("--report", "missing.txt")
    readme = (TOP / "README.md").read_text()
    (line,) = (line for line in readme.splitlines() if line.startswith("while IFS= read -r"))
    if os.name != "nt":
        subprocess.run(["sh", "-c", line], cwd=tree.path, check=True)
        copied = sorted(path.name for path in (tree.path / "to-import").rglob("*.*"))
        assert copied == ["b.mov", "c.nef"]


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png", ".avif"])
def test_an_animation_is_more_than_its_first_picture(tree, ending):
    same = animation([draw(1), draw(2)], ending)
    put(tree.path / "haystack" / f"moving{ending}", same)
    put(tree.path / "haystack" / f"still{ending}", animation([draw(20)], ending))
    put(tree.needles / "same" / f"a{ending}", same)
    put(tree.needles / "other" / f"a{ending}", animation([draw(1), draw(3)], ending))
    put(tree.needles / "its first picture as JPEG" / "a.jpg", draw(30))
    put(tree.needles / "still" / "a.jpg", draw(20))
    assert tree.run("--distance", "1").printed == ["its first picture as JPEG", "other"]


def test_each_kind_of_file_is_in_the_table_once(tree):
    kinds = """jpg jpeg jpe jfif png bmp dib tif tiff webp avif gif jp2 j2k mpo pbm pgm ppm pnm
    heic heif hif dng cr2 cr3 crw nef nrw arw srf sr2 srw orf raf rw2 pef x3f 3fr erf kdc dcr mrw
    iiq rwl jxl psd mov mp4 m4v avi mpg mpeg mts m2ts 3gp wmv mkv webm vob""".split()
    pictures = {
        kind: encode(draw(40 + number), f".{kind}")
        for number, kind in enumerate(
            "jpg jpeg jpe png bmp dib tif tiff webp avif jp2 ppm pnm".split()
        )
    }
    for number, kind in enumerate(kinds):
        content = pictures.get(kind, RAW[number:])
        put(tree.needles / "lower" / f"a.{kind}", content)
        put(tree.needles / "upper" / "deep" / f"A.{kind.upper()}", content[::-1])
        put(tree.path / "haystack" / f"{number}.{kind}", content)
    put(tree.needles / "lower" / ".hidden.mov", FILM)
    put(tree.needles / "lower" / "notes.txt", b"no photograph")
    done = tree.run("--report", "table.csv")
    found = statuses(tree)
    assert len(found) == 2 * len(kinds)
    assert {path for path, status in found.items() if status == "found"} == {
        os.path.join("needles", "lower", f"a.{kind}") for kind in kinds
    }
    assert done.printed == [os.path.join("upper", "deep")]
    rows = table(tree.path / "table.csv")
    assert len({row["needle"] for row in rows}) == len(rows)


def test_what_is_not_searched_for_is_counted_and_its_folders_named(tree):
    for number in range(30):
        put(tree.needles / f"docs {number:02}" / "letter.doc", b"dear")
        put(tree.needles / "docs 00" / f"odd.{'x' * (number % 12)}{number}", b"odd")
    put(tree.needles / "docs 00" / f"long.{'y' * 200}", b"odd")
    put(tree.needles / "USB stick" / "1.jpg", encode(draw(1)))
    put(tree.needles / "USB stick" / "1.xmp", b"sidecar")
    put(tree.needles / "bin" / ".trashed-169-IMG_7.jpg", encode(draw(50)))
    put(tree.needles / "mac" / ".DS_Store", b"hidden")
    put(tree.needles / "mac" / "._1.jpg", b"hidden")
    done = tree.run()
    first, second, *named = done.err.splitlines()
    assert first.startswith("[WARN] needles: 62 other files are not searched for: .doc 30, ")
    assert first.endswith(" more") and len(first) < 300
    assert second == (
        "[WARN] needles: 1 hidden photographs and films are not searched for, such as "
        + os.path.join("needles", "bin", ".trashed-169-IMG_7.jpg")
    )
    folders = ["bin", *(f"docs {number:02}" for number in range(30))]
    tail = ": only files that are not searched for; look into it"
    assert named[:20] == [f"[WARN] {name}{tail}" for name in folders[:20]]
    assert named[20:] == ["[WARN] and 11 more folders with only such files"]
    assert done.printed == []


def test_reports_and_caches_among_the_needles_are_not_other_files(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    options = ("--report", "needles/list.txt", "--report", "needles/t.csv", "--cache", "needles/c")
    for _ in range(2):
        assert tree.run(*options).err == ""


def test_what_the_library_has_only_smaller(tree):
    for seed in range(20, 26):
        put(tree.path / "haystack" / "small" / f"{seed}.jpg", half(draw(seed, 640, 480)))
    for seed in (20, 21):
        put(tree.path / "haystack" / "whole" / f"{seed}.png", draw(seed, 640, 480))
    put(tree.path / "haystack" / "nearly" / "22.jpg", cv2.resize(draw(22, 640, 480), (630, 470)))
    for seed in range(20, 26):
        put(tree.needles / "party" / f"{seed}.jpg", encode(draw(seed, 640, 480)))
    put(tree.needles / "party" / "new.jpg", draw(70))
    put(tree.needles / "again" / "25.jpg", encode(draw(25, 640, 480)))
    put(tree.needles / "whole" / "2.jpg", encode(draw(2)))
    turned = np.ascontiguousarray(np.rot90(draw(21, 640, 480)))
    put(tree.needles / "on its side" / "a.jpg", turned)
    put(tree.needles / "by EXIF" / "a.jpg", stored(draw(20, 640, 480), 6))
    done = tree.run("--rotated", *REPORTS)
    assert done.printed == []
    assert done.err.splitlines() == [
        "[WARN] again: 1 of 1 found, 1 of them only smaller",
        "[WARN] party: 6 of 7 found, 3 of them only smaller",
    ]
    rows = {row["needle"]: row for row in table(tree.path / "table.csv")}
    smaller = [path for path, row in rows.items() if row["status"] == "smaller"]
    party = [os.path.join("needles", "party", f"{seed}.jpg") for seed in (23, 24, 25)]
    assert smaller == [os.path.join("needles", "again", "25.jpg"), *party]
    for path in smaller:
        assert (rows[path]["pixels"], rows[path]["match_pixels"]) == ("640x480", "320x240")
    side = rows[os.path.join("needles", "on its side", "a.jpg")]
    assert (side["status"], side["pixels"]) == ("found", "480x640")
    assert rows[os.path.join("needles", "by EXIF", "a.jpg")]["pixels"] == "640x480"
    assert (tree.path / "list.txt").read_text() == os.path.join("needles", "party", "new.jpg\n")
    page = (tree.path / "page.html").read_text()
    assert page.count('<li class="smaller">') == 4
    assert "640 x 480, the match 320 x 240" in page
    assert "<h2>Found, but some only smaller (1)</h2>" in page
    assert "<h2>All found (3)</h2>" in page


def test_a_match_that_is_not_smaller_goes_before_a_nearer_one(tree):
    image = draw(30, 640, 480)
    put(tree.path / "haystack" / "a" / "small.png", half(image))
    put(tree.path / "haystack" / "b" / "poor.jpg", encode(image, quality=2))
    put(tree.needles / "x" / "a.png", image)
    tree.run("--report", "table.csv")
    (row,) = table(tree.path / "table.csv")
    assert (row["status"], row["match"]) == ("smaller", os.path.join("haystack", "a", "small.png"))
    tree.run("--report", "table.csv", "--distance", "12")
    (row,) = table(tree.path / "table.csv")
    assert (row["status"], row["match"]) == ("found", os.path.join("haystack", "b", "poor.jpg"))
    assert int(row["distance"]) > 0


def test_the_article_lists_and_hashes_and_does_nothing_else(tree):
    put(tree.path / "haystack" / "a.mov", FILM)
    shutil.copytree(tree.path / "haystack", tree.needles / "same")
    put(tree.needles / "webp" / "a.webp", draw(1))
    put(tree.needles / "heic" / "a.heic", heic(draw(1)))
    put(tree.needles / "white" / "a.png", np.full((50, 50, 3), 255, np.uint8))
    put(tree.path / "haystack" / "black.png", np.zeros((50, 50, 3), np.uint8))
    done = tree.run("--article", "--report", "table.csv")
    assert done.printed == [] and "processed 9 images" in done.out
    assert len(statuses(tree)) == 9 and set(statuses(tree).values()) == {"found"}
