"""What the README says holds."""

import os
import re
import shlex

import pytest

import forking
from conftest import TOP, command, draw, encode, put

README = (TOP / "README.md").read_text(encoding="utf-8")
PROSE = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", " ", README, flags=re.DOTALL)


def test_it_is_short_and_its_pictures_are_there():
    assert len(README.splitlines()) <= 165
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert sorted(pictures) == ["tests/chart.png", "tests/four_steps.png", "tests/page.png"]
    assert all((TOP / picture).stat().st_size > 10_000 for picture in pictures)


def test_every_figure_was_measured():
    benchmark = (TOP / "tests" / "BENCHMARK.md").read_text(encoding="utf-8")
    measured = set(re.findall(r"\d[\d,.]*\d|\d", benchmark))
    section = PROSE.partition("## How good, how fast")[2].partition("\n## ")[0]
    figures = {*re.findall(r"\d[\d,.]*\d|\d", section), *re.findall(r"\d+\.\d+", PROSE)}
    assert len(figures) > 8
    assert figures - {"3.10"} <= measured  # but for Python's version


@pytest.mark.parametrize("options", re.findall(r"\| `python hash_and_search\.py (.*?)` \|", README))
def test_the_commands_for_the_situations_run(tmp_path, options):
    for seed in range(3):
        put(tmp_path / "Pictures" / f"{seed}.jpg", draw(seed))
        put(tmp_path / "old-backup" / "seen" / f"{seed}.jpg", encode(draw(seed), quality=60))
    put(tmp_path / "old-backup" / "unseen" / "a.jpg", draw(9))
    if "--needles disk" in options:
        os.rename(tmp_path / "old-backup", tmp_path / "disk")
    options = options.replace("tcp://scheduler:8786", "tcp://127.0.0.1:9")  # where no one answers
    arguments = command(*shlex.split(options))
    done = forking.run(arguments, cwd=tmp_path, capture_output=True, text=True)
    if "--dask" in options:
        assert done.returncode == 2 and "no Dask scheduler answers" in done.stderr
    else:
        assert done.stdout.endswith("directories...\n[INFO] unseen\n")
        assert "3 found, 1 missing" in done.stderr and "[WARN]" not in done.stderr
        copied = (tmp_path / "to-import" / "unseen" / "a.jpg").exists()
        assert copied == ("--copy-missing" in options)


def test_the_first_screen_shows_what_the_sample_prints():
    (shown,) = re.findall(r"```\n(\[INFO\] computing.*?)```", README, re.DOTALL)
    arguments = command("--haystack", "haystack", "--needles", "needles")
    done = forking.run(arguments, cwd=TOP, capture_output=True, text=True, check=True)
    seconds = r"in [\d.]+ seconds"
    assert re.sub(seconds, "", done.stdout) == re.sub(seconds, "", shown)


def test_the_statuses_and_the_options_stand_in_it():
    for status in ("0", "1", "2", "130", "141"):
        assert f"`{status}`" in README
    done = forking.run(command("--help"), capture_output=True, text=True)
    options = set(re.findall(r"--[a-z-]+", done.stdout)) - {"--help"}
    assert options == set(re.findall(r"^\|[^|]*?`(--[a-z-]+)", README, re.MULTILINE))
