import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from article import article_file_hash, article_search
from conftest import (
    SCRIPT,
    TOP,
    command,
    draw,
    encode,
    half,
    hash_of,
    put,
    stored,
    untimed,
    with_orientation,
)


def test_the_articles_lines_and_nothing_more(tree):
    put(tree.needles / "USB stick" / "a.jpg", encode(draw(1)))
    put(tree.needles / "PIX" / "b.jpg", draw(50))
    put(tree.needles / "December2014" / "c.jpg", draw(51))
    done = tree.run()
    assert (done.status, done.err) == (0, "")
    assert untimed(done.out) == (
        "[INFO] computing hashes for haystack...\n"
        "[INFO] processed 8 images in SECONDS\n"
        "[INFO] computing hashes for needles...\n"
        "[INFO] check the following directories...\n"
        "[INFO] December2014\n"
        "[INFO] PIX\n"
    )


def test_copies_are_found_and_unseen_pictures_are_not(tree):
    kinds = {
        "exact": encode,
        "half": lambda image: encode(half(image)),
        "recompressed": lambda image: encode(image, quality=50),
        "brightened": lambda image: encode(cv2.convertScaleAbs(image, beta=15)),
        "png": lambda image: encode(image, ".png"),
        "tiff": lambda image: encode(image, ".tiff"),
        "webp": lambda image: encode(image, ".webp"),
    }
    for kind, copy in kinds.items():
        for seed in range(8):
            ending = f".{kind}" if kind in ("png", "tiff", "webp") else ".JPG"
            put(tree.needles / kind / f"{seed}{ending}", copy(draw(seed)))
    for orientation in range(1, 9):
        content = stored(draw(0), orientation)
        put(tree.needles / f"orientation {orientation}" / "0.jpg", content)
    put(tree.needles / "unseen" / "0.jpg", draw(60))
    done = tree.run("--distance", "1")
    assert done.printed == ["unseen"]


def test_a_folder_is_named_by_its_path_and_the_root_by_its_name(tree):
    put(tree.needles / "2006" / "PIX" / "a.jpg", draw(70))
    put(tree.needles / "2007" / "PIX" / "b.jpg", encode(draw(2)))
    put(tree.needles / "2008" / "PIX" / "c.jpg", draw(71))
    put(tree.needles / "d.jpg", draw(72))
    expected = [os.path.join("2006", "PIX"), os.path.join("2008", "PIX"), "needles"]
    assert tree.run().printed == expected
    for spelling in ("needles/", "./needles", "haystack/../needles/.", str(tree.needles)):
        assert tree.run(needles=spelling).printed == expected
    inside = subprocess.run(
        command("-a", "../haystack", "-n", "."), cwd=tree.needles, capture_output=True, text=True
    )
    assert inside.stdout.endswith(f"[INFO] {expected[1]}\n[INFO] needles\n")


def test_two_directories_that_go_by_one_name_are_two(tree):
    put(tree.needles / "a.jpg", encode(draw(1)))
    put(tree.needles / "needles" / "b.jpg", draw(73))
    assert tree.run().printed == ["needles"]


def test_several_haystacks(tree):
    put(tree.path / "more" / "a.jpg", draw(80))
    put(tree.needles / "x" / "a.jpg", draw(80))
    assert tree.run().printed == ["x"]
    done = tree.run(haystack=("haystack", "more", "more"))
    assert done.printed == [] and "processed 9 images" in done.out


def test_article_equals_the_oracle_file_by_file(tree):
    for seed in range(24):
        image = draw(seed % 12, 300 + 7 * seed, 200 + 5 * seed)
        content = encode(image, (".jpg", ".png", ".tiff")[seed % 3])
        if seed % 4 == 0 and seed % 3 == 0:
            content = with_orientation(content, seed % 8 + 1)[: -(seed % 5) or None]
        put(tree.needles / f"{seed}" / f"{seed}{('.jpg', '.png', '.tiff')[seed % 3]}", content)
    shutil.copy(tree.needles / "3" / "3.jpg", tree.path / "haystack")
    put(tree.needles / "flat" / "white.png", np.full((50, 50, 3), 255, np.uint8))
    put(tree.path / "haystack" / "black.png", np.full((60, 60, 3), 0, np.uint8))
    count, directories = article_search(str(tree.path / "haystack"), str(tree.needles))
    done = tree.run("--article")
    assert f"processed {count} images" in done.out
    assert done.printed == directories and "3" not in directories and "flat" not in directories
    tree.run("--article", "--report", "table.csv", "--distance", "64")
    rows = [line.split(",") for line in (tree.path / "table.csv").read_text().splitlines()[1:]]
    assert len(rows) == 25
    for needle, _, _, distance, match, *_ in rows:
        first, second = (article_file_hash(str(tree.path / path)) for path in (needle, match))
        assert (first ^ second).bit_count() == int(distance)


def test_the_sample_as_the_readme_shows_it():
    for options, expected in (
        ([], ["December2014", "PIX"]),
        (["--article"], ["December2014", "Half size for e-mail", "PIX"]),
    ):
        arguments = command("--haystack", "haystack", "--needles", "needles", *options)
        done = subprocess.run(arguments, cwd=TOP, capture_output=True, text=True, check=True)
        printed = done.stdout.partition("directories...\n")[2]
        assert printed == "".join(f"[INFO] {name}\n" for name in expected)


def test_the_sample_is_what_the_code_draws(tmp_path):
    from make_samples import HAYSTACK, UNSEEN, save

    hashes = []
    for folder, scenes in [*HAYSTACK.items(), *UNSEEN.items()]:
        name, scene, light, seed = scenes[0]
        tracked = TOP / ("needles" if folder in UNSEEN else "haystack") / folder / name
        drawn = tmp_path / name
        save(drawn, scene(seed, light))
        first, second = (hash_of(path.read_bytes()) for path in (tracked, drawn))
        assert (first ^ second).bit_count() <= 2
    every = sorted([*(TOP / "haystack").rglob("*.jpg"), *(TOP / "needles" / "PIX").iterdir()])
    hashes = [hash_of(path.read_bytes()) for path in every]
    assert len(hashes) == 52
    for i, first in enumerate(hashes):
        assert all((first ^ second).bit_count() > 8 for second in hashes[:i])


def test_requirements_and_script_metadata_agree():
    lines = (TOP / "requirements.txt").read_text().splitlines()
    required = [line for line in lines if not line.startswith("#")]
    block = re.search(r"# /// script\n(.*?)# ///\n", SCRIPT.read_text(), re.DOTALL).group(1)
    assert re.findall(r'"([a-z][^">]*>=[^"]+)"', block) == required
    assert [re.split(">=", line)[0] for line in required] == ["opencv-python", "imutils", "numpy"]


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("libGL.so.1: cannot open shared object file: No such file", "libgl1 libglib2.0-0"),
        ("No module named 'cv2'", "pip install -r requirements.txt"),
    ],
)
def test_opencv_that_cannot_be_imported(tmp_path, error, advice):
    (tmp_path / "cv2.py").write_text(f"raise ImportError({error!r})")
    done = subprocess.run(
        [sys.executable, SCRIPT, "-h"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and advice in done.stderr


def test_help_gives_an_example():
    done = subprocess.run(command("--help"), capture_output=True, text=True, check=True)
    assert "example: python hash_and_search.py --haystack" in done.stdout
