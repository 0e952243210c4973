"""The article: its hash to the bit, its run from the options to the printed lines, its sample."""

import doctest
import os
import pathlib
import shutil

import cv2
import numpy as np
import pytest

import forking
import hash_and_search
from article import article_file_hash, article_hash, article_search
from conftest import (
    TOP,
    VIDEO,
    command,
    draw,
    encode,
    half,
    hash_of,
    heic,
    put,
    untimed,
    with_orientation,
)
from hash_and_search import decode, dhash


def test_dhash_is_the_articles_to_the_bit():
    rng = np.random.default_rng(1)
    for count in range(1000):
        shape = tuple(rng.integers(1, 120, 2))
        if count % 3 == 0:
            image = rng.integers(0, 256, shape).astype(np.uint8)
        elif count % 3 == 1:
            image = rng.integers(0, 65536, shape).astype(np.uint16)
        else:
            image = rng.normal(size=shape).astype(np.float32)
        size = int(rng.integers(2, 17))
        value = dhash(image, size)
        assert type(value) is int
        assert value == article_hash(image, size)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_dhash_converts_colours_first(dtype):
    image = draw(3).astype(dtype)
    assert dhash(image) == article_hash(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    assert dhash(image, hashSize=16) > 2**64


def test_the_docstrings_examples():
    result = doctest.testmod(hash_and_search)
    assert result.attempted > 0 and result.failed == 0


def test_the_articles_lines_and_nothing_more(tree):
    put(tree.needles / "USB stick" / "a.jpg", encode(draw(1)))
    put(tree.needles / "PIX" / "b.jpg", draw(50))
    put(tree.needles / "December2014" / "c.jpg", draw(51))
    done = tree.run()
    assert (done.status, done.warnings) == (0, [])
    assert untimed(done.out) == (
        "[INFO] computing hashes for haystack...\n"
        "[INFO] processed 8 images in SECONDS\n"
        "[INFO] computing hashes for needles...\n"
        "[INFO] check the following directories...\n"
        "[INFO] December2014\n"
        "[INFO] PIX\n"
    )


def test_a_folder_found_in_part_is_told(tree):
    for seed in range(6, 12):
        put(tree.needles / "December2014" / f"{seed}.jpg", encode(draw(seed)))
    done = tree.run()
    assert done.printed == []
    assert (done.partly, done.warnings) == (["4 of 6 lacking: December2014"], [])


def test_a_folder_is_named_by_its_path_and_the_root_by_its_name(tree):
    put(tree.needles / "2006" / "PIX" / "a.jpg", draw(70))
    put(tree.needles / "2007" / "PIX" / "b.jpg", encode(draw(2)))
    put(tree.needles / "2008" / "PIX" / "c.jpg", draw(71))
    put(tree.needles / "d.jpg", draw(72))
    expected = [os.path.join("2006", "PIX"), os.path.join("2008", "PIX"), "needles"]
    assert tree.run().printed == expected
    for spelling in ("needles/", "./needles", "haystack/../needles/.", str(tree.needles)):
        assert tree.run(needles=spelling).printed == expected
    inside = forking.run(
        command("-a", "../haystack", "-n", "."), cwd=tree.needles, capture_output=True, text=True
    )
    assert inside.stdout.endswith(f"[INFO] {expected[1]}\n[INFO] needles\n")


def test_two_directories_that_go_by_one_name_are_two(tree):
    put(tree.needles / "a.jpg", encode(draw(1)))
    put(tree.needles / "needles" / "b.jpg", draw(73))
    assert tree.run().printed == ["needles"]


def test_article_equals_the_oracle_file_by_file(tree):
    for seed in range(24):
        image = draw(seed % 12, 300 + 7 * seed, 200 + 5 * seed)
        content = encode(image, (".jpg", ".png", ".tiff")[seed % 3])
        if seed % 4 == 0 and seed % 3 == 0:
            content = with_orientation(content, seed % 8 + 1)[: -(seed % 5) or None]
        put(tree.needles / f"{seed}" / f"{seed}{('.jpg', '.png', '.tiff')[seed % 3]}", content)
    shutil.copy(tree.needles / "3" / "3.jpg", tree.path / "haystack")
    put(tree.path / "haystack" / "8.png", encode(half(draw(8, 512, 384))))
    put(tree.needles / "flat" / "white.png", np.full((50, 50, 3), 255, np.uint8))
    put(tree.path / "haystack" / "black.png", np.full((60, 60, 3), 0, np.uint8))
    count, directories = article_search(str(tree.path / "haystack"), str(tree.needles))
    done = tree.run("--article")
    assert f"processed {count} images" in done.out
    assert done.printed == directories and "3" not in directories and "flat" not in directories
    rows = tree.findings("--article")
    hashes = {
        os.path.relpath(path, tree.path): article_file_hash(str(path))
        for path in (tree.path / "haystack").rglob("*.*")
    }
    assert len(rows) == 25
    for row in rows.values():
        value = article_file_hash(str(tree.path / row["needle"]))
        if row["status"] == "found":
            assert row["distance"] == "0" and hashes[row["match"]] == value
        else:
            assert row["status"] == "missing" and value not in hashes.values()


def test_the_article_lists_and_hashes_and_does_nothing_else(tree):
    put(tree.path / "haystack" / "a.mov", VIDEO)
    shutil.copytree(tree.path / "haystack", tree.needles / "same")
    put(tree.needles / "webp" / "a.webp", draw(1))
    put(tree.needles / "heic" / "a.heic", heic(draw(1)))
    put(tree.needles / "white" / "a.png", np.full((50, 50, 3), 255, np.uint8))
    put(tree.path / "haystack" / "black.png", np.zeros((50, 50, 3), np.uint8))
    rows = tree.findings("--article")
    assert len(rows) == 9 and {row["status"] for row in rows.values()} == {"found"}
    done = tree.run("--article")
    assert done.printed == [] and "processed 9 images" in done.out


def test_the_sample_as_the_readme_shows_it():
    for options, expected in (
        ([], ["December2014", "PIX"]),
        (["--article"], ["December2014", "Half size for e-mail", "PIX"]),
    ):
        arguments = command("--haystack", "haystack", "--needles", "needles", *options)
        done = forking.run(arguments, cwd=TOP, capture_output=True, text=True, check=True)
        printed = done.stdout.partition("directories...\n")[2]
        assert printed == "".join(f"[INFO] {name}\n" for name in expected)


def test_the_sample_is_what_the_code_draws(tmp_path):
    from make_samples import HAYSTACK, UNSEEN, draw_what_is_special, save

    for folder, scenes in [*HAYSTACK.items(), *UNSEEN.items()]:
        name, scene, light, seed = scenes[0]
        save(
            tmp_path / ("needles" if folder in UNSEEN else "haystack") / folder / name,
            scene(seed, light),
        )
    source = pathlib.Path("haystack", "2007", "Norway", "DSC_1043.jpg")
    (tmp_path / source).write_bytes((TOP / source).read_bytes())
    draw_what_is_special(tmp_path / "haystack", tmp_path / "needles")
    drawn = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(drawn) == len(HAYSTACK) + len(UNSEEN) + 9
    for path in drawn:
        first, second = (each.read_bytes() for each in (path, TOP / path.relative_to(tmp_path)))
        assert decode(first)[1] == decode(second)[1]
        if path.suffix != ".png":  # OpenCV 4 writes a screenshot's words in another font
            assert (hash_of(first) ^ hash_of(second)).bit_count() <= 2
    every = sorted([*(TOP / "haystack").rglob("*.jpg"), *(TOP / "needles" / "PIX").iterdir()])
    hashes = [hash_of(path.read_bytes()) for path in every]
    assert len(hashes) == 53
    for i, first in enumerate(hashes):
        assert all((first ^ second).bit_count() > 8 for second in hashes[:i])
