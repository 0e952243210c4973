"""What the README says holds, and the sample is what it shows."""

import os
import pathlib
import re
import shlex

import numpy as np
import pytest

import forking
from conftest import TOP, command, draw, encode, half, put, table

README = (TOP / "README.md").read_text(encoding="utf-8")
PROSE = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", " ", README, flags=re.DOTALL)
PYTHON = ".venv/bin/python hash_and_search.py "
# The commands of the five steps, which stand among them.
LOOK, TURN, COPY = re.findall(rf"^ +{re.escape(PYTHON)}(.*)$", README, re.MULTILINE)
NOTHING = "the library lacks nothing of what was searched"
INSTALL = "python3 -m venv .venv && .venv/bin/pip install -r "
# What is not run here, and by whom it is.
ELSEWHERE = {
    f"{INSTALL}requirements.txt && {PYTHON}--haystack haystack --needles needles",  # once installed
    f"{INSTALL}tests/requirements.txt && .venv/bin/python -m pytest",  # by .ci/run
    '.venv/bin/pip install "pillow-heif>=1.8"',  # as a line of tests/requirements.txt
    ".venv/bin/pip install distributed",  # so is this
    ".venv/bin/python tests/benchmark.py --photos PHOTOS",  # by test_benchmark.py
}


def ran(options, folder):
    arguments = command(*shlex.split(options))
    done = forking.run(arguments, cwd=folder, capture_output=True, text=True)
    assert "[ERROR]" not in done.stderr or "--dask" in options, done.stderr
    return done


def printed(done):
    return done.stdout.partition("directories...\n")[2].replace("[INFO] ", "").splitlines()


@pytest.fixture
def disks(tmp_path):
    """A library, and a backup with copies, a photograph more, a larger and a turned one."""
    for seed in range(3):
        put(tmp_path / "My Pictures" / "2012" / f"{seed}.jpg", draw(seed))
        put(tmp_path / "old backup" / "seen" / f"{seed}.jpg", encode(draw(seed), quality=60))
    put(tmp_path / "My Pictures" / "2013" / "3.jpg", half(draw(3)))
    put(tmp_path / "old backup" / "larger" / "3.jpg", draw(3))
    put(tmp_path / "old backup" / "scans" / "1.jpg", np.rot90(draw(1)).copy())
    put(tmp_path / "old backup" / "unseen" / "9.jpg", draw(9))
    put(tmp_path / "old backup" / "WhatsApp Stickers" / "10.jpg", draw(10))
    return tmp_path


def test_it_is_short_and_its_pictures_are_there():
    assert len(README.splitlines()) <= 150
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures == ["tests/page.png", "tests/four_steps.png", "tests/chart.png"]
    assert all((TOP / picture).stat().st_size > 10_000 for picture in pictures)


def test_every_figure_was_measured():
    benchmark = (TOP / "tests" / "BENCHMARK.md").read_text(encoding="utf-8")
    measured = set(re.findall(r"\d[\d,.]*\d|\d", benchmark))
    section = PROSE.partition("## How good, how fast")[2].partition("\n## ")[0]
    figures = {*re.findall(r"\d[\d,.]*\d|\d", section), *re.findall(r"\d+\.\d+", PROSE)}
    assert len(figures) > 8
    assert figures - {"3.10"} <= measured  # but for Python's version


def test_every_command_is_run_or_named_here_and_can_be_copied():
    lines = re.findall(r"^ *((?:python3|\.venv/bin/).*)$", README, re.MULTILINE)
    inline = re.findall(r"`((?:python3?|pip|uv|pipx|\.venv/bin/\w+) [^`]+)`", README)
    steps = {PYTHON + options for options in (LOOK, TURN, COPY)}
    assert {*lines, *inline} == {*steps, *ELSEWHERE}
    tests = [line for line in README.splitlines() if line.endswith("-m pytest")]
    assert len(tests) == 1  # it is what .ci/run runs


def test_the_five_steps_end_with_nothing_missing(disks):
    looked = ran(LOOK, disks)
    page = (disks / "page.html").read_text(encoding="utf-8")
    assert printed(looked) == ["WhatsApp Stickers", "scans", "unseen"]
    assert "4 folders hold what the library lacks, 1 of them" in looked.stderr
    assert "1 look like turned or mirrored copies; <kbd>--rotated</kbd> finds those" in page
    assert printed(ran(TURN, disks)) == ["WhatsApp Stickers", "unseen"]
    ran(f"{COPY} --rotated", disks)
    copies = sorted(path.name for path in (disks / "to-import").rglob("*.jpg"))
    assert copies == ["10.jpg", "3.jpg", "9.jpg"]
    os.rename(disks / "to-import", disks / "My Pictures" / "to-import")
    again = ran(f"{LOOK} --rotated", disks)
    assert printed(again) == [] and "7 found, 0 missing\n" in again.stderr
    assert again.stderr.endswith(f"{NOTHING}\n") and f"`{NOTHING}`" in README


def test_a_folder_that_may_be_deleted_says_so(disks):
    for name, may_be in (("seen", True), ("larger", False), ("unseen", False)):
        done = ran(LOOK.replace("old backup", f"old backup/{name}"), disks)
        assert (NOTHING in done.stderr) == may_be
    put(disks / "old backup" / "seen" / "more.zip", b"PK")
    done = ran(LOOK.replace("old backup", "old backup/seen"), disks)
    assert "left out: archive (1)\n" in done.stderr and "more.zip" in done.stderr


def test_the_examples_in_the_table_of_options_run(disks):
    def example(value, option):
        assert re.search(rf"^\| `{option}.*`{re.escape(value)}`", README, re.MULTILINE)
        return value

    look = LOOK.removesuffix(" --report page.html")
    left = ran(f"{look} --exclude " + example('"WhatsApp Stickers"', "--exclude"), disks)
    assert printed(left) == ["scans", "unseen"] and "excluded (1)" in left.stderr
    for _ in range(2):
        kept = ran(f"{look} --cache " + example("hashes.db", "--cache"), disks)
        assert len(printed(kept)) == 3 and (disks / "hashes.db").exists()
    address = example("tcp://scheduler:8786", "--dask").replace("scheduler:8786", "127.0.0.1:9")
    alone = ran(f"{look} --dask {address}", disks)  # no one answers there
    assert alone.returncode == 2 and "no Dask scheduler answers" in alone.stderr


def test_what_is_on_two_disks_is_copied_once(disks):
    library = '--haystack "My Pictures" to-import'
    assert f"`{library}`" in README
    copies = COPY.replace('--haystack "My Pictures"', library)
    assert copies != COPY
    ran(copies, disks)
    put(disks / "disk 2" / "again" / "9.jpg", encode(draw(9), quality=50))
    assert printed(ran(copies.replace("old backup", "disk 2"), disks)) == []
    assert not (disks / "to-import" / "again").exists()


def test_the_sample_prints_what_is_shown():
    (shown,) = re.findall(r"```\n(\[INFO\] check the following.*?)```", README, re.DOTALL)
    done = ran("--haystack haystack --needles needles", TOP)
    assert printed(done) == ["December2014", "PIX"]
    said = "".join(done.stdout.partition("[INFO] check")[1:]) + done.stderr
    year = r", \d{4}\)"  # in which the files were checked out
    assert re.sub(year, ")", said) == re.sub(year, ")", shown)


def test_the_sample_has_one_of_each_that_is_told_apart(tmp_path):
    file = tmp_path / "table.csv"
    ran(shlex.join([*"--haystack haystack --needles needles --report".split(), str(file)]), TOP)
    rows = {pathlib.PurePath(row["needle"]).name: row for row in table(file)}
    for name, status, lookalike in (
        ("f0001042", "found", ""),
        ("f0001058", "missing", ""),
        ("IMG_0412.jpg", "better", ""),
        ("IMG-20141224-WA0001.jpg", "found", ""),
        ("January.png", "found", ""),
        ("February.png", "missing", "January.png"),
        ("cropped.jpg", "missing", "DSC_1043.jpg"),
        ("Screenshot_1224.png", "missing", "Screenshot_0611.png"),
    ):
        row = rows[name]
        assert (row["status"], pathlib.PurePath(row["lookalike"]).name) == (status, lookalike)
    files = [path for top in ("haystack", "needles") for path in (TOP / top).rglob("*")]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 4_000_000


def test_the_statuses_and_the_options_stand_in_it():
    for status in ("0", "1", "2", "130", "141"):
        assert f"`{status}`" in README
    done = forking.run(command("--help"), capture_output=True, text=True)
    options = set(re.findall(r"--[a-z-]+", done.stdout)) - {"--help"}
    assert options == set(re.findall(r"^\|[^|]*?`(--[a-z-]+)", README, re.MULTILINE))
