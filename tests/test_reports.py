"""Section 6: what is said at the end, the reports, and the page in a browser."""

import base64
import csv
import html
import io
import json
import os
import pathlib
import re
import shutil
import sys
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import hash_and_search
from conftest import (
    HOSTILE,
    RAW,
    REPORTS,
    VIDEO,
    draw,
    encode,
    half,
    put,
    table,
    without_root_powers,
)
from hash_and_search import STATUSES, Finding, Listing, Page, Results, Team

linux = sys.platform.startswith("linux")
COLUMNS = [
    "needle", "directory", "status", "distance", "match", "pixels", "match_pixels", "lookalike",
    "reason", "bytes", "modified",
]  # fmt: skip
HINTS = ["--report page.html shows them", "--copy-missing FOLDER copies what is lacking"]


def dated(path, when):
    """Give a file a time of change, such as 2014-12-24 18:03."""
    seconds = time.mktime(time.strptime(when, "%Y-%m-%d %H:%M"))
    os.utime(path, (seconds, seconds))


def told_of(done):
    """The [INFO] lines of stderr, without that."""
    return [line[7:] for line in done.err.splitlines() if line.startswith("[INFO] ")]


# ------------------------------------------------------------------------------------------------
# The summary
# ------------------------------------------------------------------------------------------------


def test_the_summary_ends_a_run(tree):
    put(tree.path / "haystack" / "small.jpg", half(draw(20, 640, 480)))
    put(tree.needles / "all found" / "1.jpg", encode(draw(1), quality=60))
    put(tree.needles / "party" / "2.jpg", encode(draw(2)))
    put(tree.needles / "party" / "20.jpg", draw(20, 640, 480))
    put(tree.needles / "party" / "new.jpg", draw(50))
    put(tree.needles / "PIX" / "a.nef", b"raw")
    put(tree.needles / "PIX" / "broken.jpg", b"no image")
    os.truncate(tree.needles / "PIX" / "a.nef", 1_234_567_890)
    dated(tree.needles / "party" / "new.jpg", "2009-01-01 12:00")
    dated(tree.needles / "PIX" / "a.nef", "2021-12-31 12:00")
    dated(tree.needles / "PIX" / "broken.jpg", "1999-12-31 12:00")  # neither missing nor counted
    done = tree.run()
    assert done.printed == ["PIX"]
    first, *rest = done.err.splitlines()
    assert first.startswith(f"[WARN] cannot read {os.path.join('needles', 'PIX', 'broken.jpg')}: ")
    assert rest == [
        "[INFO] needles against the library haystack (9 photographs and videos):",
        "[INFO] 6 photographs and videos: 2 found, 2 missing (1.2 GB, 2009 to 2021), "
        "1 better here, 1 unreadable",
        "[INFO] 1 not found could only be compared by their bytes, such as videos",
        "[INFO] 2 folders hold what the library lacks, 1 of them besides those above:",
        "[INFO]   2 of 2 lacking: PIX",
        "[INFO]   2 of 3 lacking: party",
        f"[INFO] {', '.join(HINTS)}",
    ]


def test_the_summary_names_both_sides_and_what_the_library_cannot_read(tree):
    put(tree.path / "old stuff" / "x" / "1.jpg", encode(draw(1)))
    for number in range(5):
        put(tree.path / "more" / f"{number}.jpg", b"no picture")
    done = tree.run(haystack=("haystack", "more"), needles="old stuff")
    assert done.err.splitlines()[4:] == [
        "[INFO] old stuff against the library haystack, more "
        "(13 photographs and videos, 5 of them unreadable):",
        "[INFO] 1 photographs and videos: 1 found, 0 missing",
        "[INFO] left out: unreadable in the library (5)",
        "[INFO] the library lacks nothing of what was searched",
    ]
    assert "and 2 more that can't be read; --report lists them" in done.err


def test_the_summary_says_in_words_where_the_list_on_stdout_is_empty(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    put(tree.needles / "x" / "a.jpg", draw(50))
    done = tree.run()
    told = "1 folder holds what the library lacks, no folder is lacking as a whole:"
    assert done.printed == [] and told in told_of(done)
    put(tree.needles / "x" / "1.jpg", encode(draw(51)))
    done = tree.run()
    told = "1 folder holds what the library lacks, 0 of them besides those above:"
    assert done.printed == ["x"] and told in told_of(done)


def test_the_folders_that_lack_most_come_first(tree):
    for number, count in enumerate((1, 3, 2)):
        put(tree.needles / f"{number}" / "1.jpg", encode(draw(1)))
        for seed in range(count):
            put(tree.needles / f"{number}" / f"a{seed}.nef", bytes([number, seed]) * 99)
    assert tree.run().partly == ["3 of 4 lacking: 1", "2 of 3 lacking: 2", "1 of 2 lacking: 0"]


@pytest.mark.skipif(not linux, reason="drops root's powers as Linux does")
def test_a_folder_that_cannot_be_listed_comes_before_all(tree):
    put(tree.needles / "a" / "a.jpg", draw(50))
    (tree.needles / "closed").mkdir(mode=0)
    done = tree.run(preexec_fn=without_root_powers)
    assert done.lacking == ["cannot be listed: closed", "1 of 1 lacking: a"]


def test_a_library_inside_the_needles_is_said_to_count(tree):
    put(tree.path / "disk" / "library" / "a.jpg", draw(52))
    put(tree.path / "disk" / "x" / "a.jpg", encode(draw(52), quality=60))
    inside = os.path.join("disk", "library")
    done = tree.run(haystack=("haystack", inside), needles="disk")
    assert done.warned == [f"[WARN] {inside}: lies inside the needles, and counts as library"]
    assert done.partly == [] and done.printed == ["library"]


def test_the_summary_names_one_year_and_small_sizes(tree):
    for number, size in enumerate((300, 600)):
        path = tree.needles / "x" / f"{number}.nef"
        put(path, bytes([number]) * size)
        dated(path, f"2014-0{number + 1}-01 12:00")
    assert told_of(tree.run())[1] == (
        "2 photographs and videos: 0 found, 2 missing (900 bytes, 2014)"
    )
    put(tree.needles / "x" / "2.nef", RAW[:8_600])
    dated(tree.needles / "x" / "2.nef", "2014-01-01 12:00")
    assert "3 missing (9.5 KB, 2014)" in told_of(tree.run())[1]


def test_where_nothing_is_missing_there_is_no_advice(tree):
    for seed in range(4):
        put(tree.needles / "x" / f"{seed}.jpg", encode(draw(seed)))
    assert told_of(tree.run())[1:] == [
        "4 photographs and videos: 4 found, 0 missing",
        "the library lacks nothing of what was searched",
    ]


def test_an_option_that_was_used_is_not_advised(tree):
    put(tree.needles / "x" / "a.jpg", draw(50))
    put(tree.needles / "y" / "a.jpg", draw(51))
    put(tree.needles / "y" / "1.jpg", encode(draw(1)))
    report, copy = ("--report", "list.txt"), ("--copy-missing", "to")
    for options, hints in (((), HINTS), (report, HINTS[1:]), (copy, HINTS[:1])):
        assert ", ".join(hints) in told_of(tree.run(*options))
    assert not [line for line in told_of(tree.run(*report, *copy)) if line.startswith("--")]


def test_what_is_better_than_in_the_library_is_lacking_everywhere(tree):
    for number in range(10):
        picture = draw(20 + number, 640, 480)
        put(tree.path / "haystack" / f"small {number}.jpg", half(picture))
        put(tree.needles / "originals" / f"{number}.jpg", picture)
        put(tree.needles / "found" / f"{number}.jpg", half(picture))
    put(tree.needles / "found" / "bad.jpg", b"no picture")
    (tree.needles / "found" / "bad.jpg").rename(tree.needles / "bad.jpg")
    done = tree.run("--exit-code", *REPORTS)
    assert (done.printed, done.status) == (["needles"], 1)
    assert done.lacking == ["10 of 10 lacking: originals", "1 of 1 lacking: needles"]
    assert any(line.endswith(", 0 missing, 10 better here, 1 unreadable") for line in told_of(done))
    assert any("--copy-missing" in line for line in told_of(done))
    listed = (tree.path / "list.txt").read_text().splitlines()
    assert len(listed) == 11
    rows = [row for row in table(tree.path / "table.csv") if row["status"] == "better"]
    assert sorted(row["needle"] for row in rows) == sorted(listed)[1:]
    page = (tree.path / "page.html").read_text(encoding="utf-8")
    assert "10 found, 0 missing, 10 better here, 1 unreadable." in page  # as on stderr
    assert re.findall("<h2>(.*?)</h2>", page) == ["originals", "needles", "found"]
    assert "10 of 10 lacking: " in page
    assert page.count("<b>better</b> here than in the library: its copy has 320 x 240, ") == 10
    copied = tree.run("--copy-missing", "to", "--exit-code", haystack=("haystack", "to"))
    assert len([*(tree.path / "to" / "originals").iterdir()]) == 10 and copied.status == 1


def test_a_long_list_is_cut_and_names_the_report(tree):
    for number in range(25):
        put(tree.needles / f"part {number:02}" / "1.jpg", encode(draw(1)))
        put(tree.needles / f"part {number:02}" / "a.nef", number.to_bytes(2, "big") * 100)
    for options, more in (((), "--report page.html"), (("--report", "table.csv"), "table.csv")):
        done = tree.run(*options)
        assert len(done.lacking) == 20
        assert f"and 5 more; {more} shows all" in told_of(done)
    assert len(table(tree.path / "table.csv")) == 50


def test_what_only_bytes_can_tell_is_said_once(tree):
    for number in range(3):
        put(tree.needles / "x" / f"{number}.mov", VIDEO[number:])
        put(tree.needles / "x" / f"{number}.nef", RAW[number:])
    cv2.imwritemulti(str(tree.needles / "x" / "album.tif"), [draw(50), draw(51)])
    put(tree.needles / "x" / "a.jpg", draw(52))
    lines = [line for line in told_of(tree.run()) if "by their bytes" in line]
    assert lines == ["7 not found could only be compared by their bytes, such as videos"]
    shutil.rmtree(tree.needles / "x")
    put(tree.needles / "x" / "a.jpg", draw(52))
    assert "by their bytes" not in tree.run().err


# ------------------------------------------------------------------------------------------------
# The reports
# ------------------------------------------------------------------------------------------------


def test_the_three_reports_agree(mixed):
    rows = table(mixed.path / "table.csv")
    assert list(rows[0]) == COLUMNS
    listed = (mixed.path / "list.txt").read_text(encoding="utf-8").splitlines()
    lacking = [
        row["needle"] for row in rows if row["status"] in ("missing", "better", "unreadable")
    ]
    assert lacking == listed
    assert os.path.join("needles", "PIX", "a b.jpg") in listed
    files = [path for path in mixed.needles.rglob("*") if path.is_file()]
    assert sorted(row["needle"] for row in rows) == sorted(
        str(path.relative_to(mixed.path)) for path in files
    )
    statuses = {}
    for row in rows:
        statuses.setdefault(row["directory"], []).append(row["status"])
        assert os.path.join("needles", row["directory"]) == os.path.dirname(row["needle"])
        info = os.stat(mixed.path / row["needle"])
        assert row["bytes"] == str(info.st_size)
        assert row["modified"] == time.strftime("%Y-%m-%d %H:%M", time.localtime(info.st_mtime))
        if row["status"] in ("found", "better"):
            assert row["distance"] == "" or 0 <= int(row["distance"]) <= 24
            assert (mixed.path / row["match"]).is_file()
        else:
            assert row["distance"] == row["match"] == row["match_pixels"] == ""
        assert bool(row["reason"]) == (row["status"] in ("better", "unreadable"))
    assert mixed.done.printed == [
        name for name, inside in statuses.items() if not {"found", "better"} & {*inside}
    ]
    for name, inside in statuses.items():
        count = len(inside) - inside.count("found")
        line = f"  {count} of {len(inside)} lacking: {name}"
        assert (line in told_of(mixed.done)) == (count > 0)
    page = (mixed.path / "page.html").read_text(encoding="utf-8")
    for status in ("found", "better", "missing", "unreadable"):
        number = sum(row["status"] == status for row in rows)
        assert page.count(f'<li class="{status}">') == number
        assert number == 0 or f"{number} {status}" in page
    assert "<script" not in page and "<img src=x" not in page
    assert html.escape(HOSTILE) in page or os.name == "nt"


def test_the_table_says_all_of_each_needle(tree):
    put(tree.path / "haystack" / "small.jpg", half(draw(20, 640, 480)))
    put(tree.path / "haystack" / "grey.jpg", cv2.cvtColor(draw(21), cv2.COLOR_BGR2GRAY))
    put(tree.path / "haystack" / "a" / "v.mov", VIDEO)
    put(tree.path / "haystack" / "b" / "v.mov", VIDEO)
    put(tree.needles / "x" / "1 smaller.jpg", draw(20, 640, 480))
    put(tree.needles / "x" / "2 grey.jpg", draw(21))
    put(tree.needles / "x" / "3 mirrored.jpg", np.ascontiguousarray(draw(3)[:, ::-1]))
    put(tree.needles / "x" / "4 new.jpg", draw(50))
    put(tree.needles / "x" / "5 video.mov", VIDEO)
    put(tree.needles / "x" / "6 broken.jpg", b"no image")
    put(tree.needles / "x" / "7 same.jpg", encode(draw(1), quality=50))
    for path in (tree.needles / "x").iterdir():
        dated(path, "2014-12-24 18:03")
    rows = [*tree.findings().values()]
    small, grey, third, video, first = (
        os.path.join("haystack", *path.split("/"))
        for path in ("small.jpg", "grey.jpg", "2006/3.jpg", "a/v.mov", "2006/1.jpg")
    )
    columns = ("status", "match", "pixels", "match_pixels", "lookalike", "reason")
    values = [tuple(row[column] for column in columns) for row in rows]
    assert values[:5] + values[6:] == [
        ("better", small, "640x480", "320x240", "", "smaller"),
        ("better", grey, "320x240", "320x240", "", "only in grey"),
        ("missing", "", "320x240", "", third, ""),
        ("missing", "", "320x240", "", "", ""),
        ("found", video, "", "", "", ""),
        ("found", first, "320x240", "320x240", "", ""),
    ]  # fmt: skip
    assert rows[5]["status"] == "unreadable" and rows[5]["reason"].startswith("not an image")
    assert rows[4]["distance"] == "" and all(rows[place]["distance"].isdigit() for place in (0, 6))
    assert {row["modified"] for row in rows} == {"2014-12-24 18:03"}
    assert rows[4]["bytes"] == str(len(VIDEO))


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")
def test_no_cell_of_the_table_is_a_formula(tree):
    for number, start in enumerate(("=", "+", "@", "-", "\t")):
        put(tree.needles / f"{start}1+1" / "a.jpg", draw(50 + number))
        put(tree.needles / "x" / f"{start}b.jpg", encode(draw(number)))
        os.rename(tree.needles, tree.path / f"{start}needles")
        os.rename(tree.path / "haystack", tree.path / f"{start}hay")
        report, here = tree.path / "table.csv", "./" if start == "-" else ""
        done = tree.run(
            *("--report", "table.csv"),
            haystack=(f"{here}{start}hay",),
            needles=f"{here}{start}needles",
        )
        assert done.status == 0
        with open(report, newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert f"'{start}1+1" in cells
        if not here:
            assert any(cell.startswith(f"'{start}needles/x/") for cell in cells)
            assert any(cell.startswith(f"'{start}hay/2006/") for cell in cells)
        assert not any(cell.startswith(("=", "+", "@", "-", "\t")) for cell in cells)
        assert sum(cell.startswith("'") for cell in cells) == (1 if here else 3 + 2 * number + 1)
        os.rename(tree.path / f"{start}needles", tree.needles)
        os.rename(tree.path / f"{start}hay", tree.path / "haystack")
        shutil.rmtree(tree.needles / f"{start}1+1")


def test_the_table_has_the_mark_for_excel_only_beyond_ascii(tree):
    put(tree.needles / "x" / "a.jpg", draw(50))
    tree.run("--report", "table.csv")
    assert (tree.path / "table.csv").read_bytes().startswith(b"needle,")
    put(tree.needles / "été" / "a.jpg", draw(50))
    tree.run("--report", "table.csv")
    assert (tree.path / "table.csv").read_bytes().startswith(b"\xef\xbb\xbfneedle,")


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")
def test_a_line_break_in_a_path_breaks_no_line_of_the_list(tree):
    for number, name in enumerate(("a\nb.jpg", "c\rd.jpg", "e.jpg")):
        put(tree.needles / "x" / name, draw(50 + number))
    put(tree.needles / "f\ng" / "h.jpg", draw(60))
    tree.run(*REPORTS)
    listed = [r"f\ng/h.jpg", r"x/a\nb.jpg", r"x/c\rd.jpg", "x/e.jpg"]
    assert (tree.path / "list.txt").read_text() == "".join(f"needles/{name}\n" for name in listed)
    assert len(table(tree.path / "table.csv")) == 4


@pytest.mark.skipif(not linux, reason="names as Linux allows them")
def test_names_that_are_no_text_survive(tree):
    name = os.fsencode(tree.needles) + b"/\xe9t\xe9/\xff.jpg"
    put(name, encode(draw(60), ".jpg"))
    tree.run(*REPORTS)
    assert (tree.path / "list.txt").read_bytes() == b"needles/\xe9t\xe9/\xff.jpg\n"
    assert (
        b"\r\nneedles/\xe9t\xe9/\xff.jpg,\xe9t\xe9,missing,,,320x240,"
        in (tree.path / "table.csv").read_bytes()
    )
    page = (tree.path / "page.html").read_text(encoding="utf-8")
    assert "/needles/%E9t%E9/%FF.jpg" in page and "<h2>\ufffdt\ufffd</h2>" in page


@pytest.mark.skipif(os.name == "nt", reason="names as Linux allows them")
def test_no_line_of_the_list_is_a_comment_or_an_option(tree):
    for number, name in enumerate(("#recycle", ";old", "-n", "plain")):
        put(tree.path / name / "x" / "a.jpg", draw(60 + number))
        tree.run("--report", "missing.txt", needles=f"./{name}")
        assert (tree.path / "missing.txt").read_text() == f"./{name}/x/a.jpg\n"
        if name != "-n":
            tree.run("--report", "missing.txt", needles=name)
            expected = f"{name}/x/a.jpg\n" if name == "plain" else f"./{name}/x/a.jpg\n"
            assert (tree.path / "missing.txt").read_text() == expected


def test_a_report_is_written_whole_or_not_at_all(tree):
    put(tree.needles / "x" / "a.jpg", draw(61))
    put(tree.path / "list.txt", b"old.jpg")
    os.link(tree.path / "list.txt", tree.path / "kept.txt")
    assert tree.run("--report", "list.txt").status == 0
    assert (tree.path / "kept.txt").read_bytes() == b"old.jpg"  # replaced, not written over
    assert (tree.path / "list.txt").read_text() == f"{os.path.join('needles', 'x', 'a.jpg')}\n"
    assert len(list(tree.path.iterdir())) == 4


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no file's size")
def test_a_report_that_cannot_be_written_is_named_and_the_others_are_written(tree):
    for number in range(40):
        put(tree.needles / "found" / f"{number}.jpg", encode(draw(1)))
    put(tree.needles / "x" / "a.jpg", draw(71))
    put(tree.path / "page.html", b"")

    def full_disk():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    reports = ("--report", "page.html", "--report", "list.txt")
    done = tree.run(*reports, preexec_fn=full_disk)
    assert done.status == 2 and done.printed == ["x"]
    assert done.warned == [
        "[ERROR] cannot write page.html: File too large",
    ]
    assert (tree.path / "list.txt").read_text() == os.path.join("needles", "x", "a.jpg\n")
    assert (tree.path / "page.html").read_bytes() == b""
    assert sorted(path.name for path in tree.path.iterdir()) == [
        "haystack", "list.txt", "needles", "page.html",
    ]  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="links want rights there")
def test_a_report_through_a_link_writes_its_target(tree):
    put(tree.needles / "x" / "a.jpg", draw(72))
    put(tree.path / "elsewhere" / "real.txt", b"old.jpg")
    os.symlink("elsewhere/real.txt", tree.path / "list.txt")
    assert tree.run("--report", "list.txt").status == 0
    assert (tree.path / "list.txt").is_symlink()
    assert (tree.path / "elsewhere" / "real.txt").read_text() == "needles/x/a.jpg\n"


def test_reports_of_one_kind_are_all_written(tree):
    put(tree.needles / "x" / "a.jpg", draw(72))
    for name in ("1.txt", "2.TXT", "3.Html"):
        assert tree.run("--report", "1.txt", "--report", "2.TXT", "--report", "3.Html").status == 0
        assert (tree.path / name).stat().st_size > 10
    assert (tree.path / "1.txt").read_bytes() == (tree.path / "2.TXT").read_bytes()


@pytest.fixture
def leftovers(tree):
    """Needles and a library with something of each sort that is left out."""
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    put(tree.needles / "old" / "backup.zip", b"PK")
    put(tree.needles / "old" / "a.doc", b"dear")
    put(tree.needles / "old" / "b & c.doc", b"dear")
    put(tree.needles / "x" / ".trashed-1.jpg", encode(draw(50)))
    put(tree.needles / "x" / "big.thumb", encode(draw(51)))
    put(tree.path / "haystack" / "bad" / "broken.jpg", b"no picture")
    put(tree.path / "haystack" / "bad" / "empty.jpg", b"")
    put(tree.path / "haystack" / "notes.doc", b"dear")  # no word of this
    put(tree.path / "haystack" / ".Trash" / "a.jpg", draw(52))
    folders = [tree.needles / "closed", tree.path / "haystack" / "closed"]
    for folder in folders:
        folder.mkdir(mode=0)
    os.symlink(tree.path, tree.needles / "x" / "link")
    options = ("--report", "page.html", "--report", "table.csv", "--exclude", "*.thumb")
    tree.done = tree.run(*options, preexec_fn=without_root_powers)
    tree.page = (tree.path / "page.html").read_text(encoding="utf-8")
    return tree


LEFT_OUT = {
    "haystack/.Trash": "trash or previews, which do not count",
    "haystack/closed": "cannot be listed: Permission denied",
    "needles/closed": "cannot be listed: Permission denied",
    "needles/old/a.doc": "other file",
    "needles/old/b & c.doc": "other file",
    "needles/old/backup.zip": "archive, in which nothing is searched; unpack it",
    "needles/x/.trashed-1.jpg": "hidden",
    "needles/x/big.thumb": "excluded",
    "needles/x/link": "link to a folder, not followed",
}


@pytest.mark.skipif(not linux, reason="drops root's powers as Linux does")
def test_what_is_left_out_stands_in_the_table(leftovers):
    rows = table(leftovers.path / "table.csv")
    left = {row["needle"]: row["reason"] for row in rows if row["status"] == "left out"}
    assert left == LEFT_OUT
    broken, empty = (row for row in rows if row["needle"].startswith("haystack/bad/"))
    assert broken["status"] == empty["status"] == "unreadable"
    assert broken["reason"].startswith("in the library: not an image")
    assert empty["reason"] == "in the library: the file is empty"
    assert (broken["bytes"], broken["directory"]) == ("10", "haystack/bad")
    assert len(rows) == 1 + 2 + len(LEFT_OUT)


@pytest.mark.skipif(not linux, reason="drops root's powers as Linux does")
def test_what_is_left_out_stands_in_a_box_above_the_table_of_folders(leftovers):
    box = re.search("<div class=box>(.*?)<ol>(.*?)</ol></div>", leftovers.page)
    assert box.end() <= leftovers.page.index("<table>")
    numbers = {"cannot be listed (2)", "other file (2)", "trash or previews (1)", "archive (1)",
               "hidden (1)", "excluded (1)", "link to a folder (1)",
               "unreadable in the library (2)"}  # fmt: skip
    summary = box[1].removeprefix("left out: ").split(", ")
    assert {*summary} == numbers
    lines = [html.unescape(line) for line in re.findall("<li>([^<]*)", box[2])]
    for path, why in LEFT_OUT.items():
        folder = os.path.dirname(path)
        count = " (2)" if why == "other file" else " (1)"
        assert f"{folder}: {why}{count}" in lines
    assert any(line.startswith("haystack/bad: in the library: not an image") for line in lines)
    assert "haystack/bad: in the library: the file is empty (1)" in lines
    assert lines[-1] == "needles/old: other file (2)" and len(lines) == len(LEFT_OUT) + 1
    (told,) = (line for line in told_of(leftovers.done) if line.startswith("left out: "))
    assert {*told.removeprefix("left out: ").split(", ")} == numbers
    assert "(11 photographs and videos, 2 of them unreadable)" not in leftovers.done.err
    assert "(10 photographs and videos, 2 of them unreadable)" in leftovers.done.err


def test_a_box_of_very_much_is_cut(tree):
    for number in range(600):
        put(tree.needles / f"{number}" / "a.doc", b"dear")
    tree.run("--report", "page.html")
    page = (tree.path / "page.html").read_text(encoding="utf-8")
    assert "<div class=box>left out: other file (600)<ol>" in page
    assert page.count("<li>") == 500 and "and 100 more; --report table.csv shows all</ol>" in page


def test_each_needle_that_only_bytes_can_find_says_why(tree):
    put(tree.needles / "blank.png", np.full((240, 320, 3), 250, np.uint8))
    put(tree.needles / "a.nef", RAW)
    put(tree.needles / "a.psd", RAW[1:])
    put(tree.needles / "a.avifs", RAW[2:])
    put(tree.needles / "a.mov", VIDEO)
    assert {path: row["reason"] for path, row in tree.findings().items()} == {
        "blank.png": "it is blank or nearly so",
        "a.nef": "a .nef file: only its bytes are compared",
        "a.psd": "a .psd file: only its bytes are compared",
        "a.avifs": "a .avifs file: only its bytes are compared",
        "a.mov": "a video: only its bytes are compared",
    }


def test_what_looks_turned_is_counted_with_advice(tree):
    for seed in range(3):
        put(tree.needles / "x" / f"{seed}.jpg", np.ascontiguousarray(draw(seed)[:, ::-1]))
    put(tree.needles / "x" / "new.jpg", draw(50))
    advice = " 3 look like turned or mirrored copies; <kbd>--rotated</kbd> finds those."
    tree.run("--report", "page.html")
    assert advice in (tree.path / "page.html").read_text(encoding="utf-8")
    tree.run("--report", "page.html", "--rotated")
    assert "mirrored copies" not in (tree.path / "page.html").read_text(encoding="utf-8")


def lifelike(tree):
    """Fill a tree as families' are; return {path below the needles: status} of what is lacking."""
    lacking = {}
    names = ["Norway", "Anna's 40th", "DCIM/100CANON", "Scans", "Été", "from Dad's phone"]

    def add(folder, name, content, status=""):
        put(tree.needles / folder / name, content)
        if status:
            lacking[f"{folder}/{name}"] = status

    for number in range(60):
        folder, seed = f"{1995 + number // 3}/{names[number % 6]} {number}", 100 + 3 * number
        for offset in range(2):  # the library has these, if smaller at times
            picture = draw(seed + offset, 240, 180)
            is_better = number % 10 == 3
            there = half(picture) if is_better else picture
            put(tree.path / "haystack" / f"{number}" / f"{offset}.jpg", encode(there, quality=95))
            if number % 10 != 5:
                copy = encode(picture, quality=80 - 20 * offset)
                add(folder, f"{offset}.jpg", copy, "better" if is_better else "")
        new = encode(draw(seed + 2, 240, 180))
        if number % 10 in (2, 5):
            add(folder, "new.jpg", new, "missing")
        elif number % 10 == 4:
            add(folder, "cut.jpg", new[: len(new) // 3], "unreadable")
        elif number % 10 == 6:
            add(folder, "DSC_1.nef", RAW[number:], "missing")
        elif number % 10 == 7:
            add(folder, f"f00{number}", new, "missing")
        elif number % 10 == 8:
            add(folder, "MVI_1.MOV", VIDEO[: -number - 1], "missing")
            add(folder, "Thumbs.db", b"nothing")
    add("disk image", "1998.zip", b"PK")
    add("phone", ".trashed-1-IMG_7.jpg", encode(draw(90)))
    add("letters", "a.doc", b"dear")
    put(tree.path / "haystack" / "damaged.jpg", b"no picture")
    return lacking


def test_the_page_the_table_and_stderr_each_lead_to_all_that_is_lacking(tree):
    lacking = lifelike(tree)
    done = tree.run("--exit-code", "--report", "page.html", "--report", "table.csv")
    left = {"disk image/1998.zip", "phone/.trashed-1-IMG_7.jpg", "letters/a.doc"}
    folders = {os.path.dirname(path) for path in lacking}
    counts = [sum(each == status for each in lacking.values()) for status in STATUSES[:3]]
    assert done.status == 1 and len(lacking) == 48 and min(counts) > 5
    # the table
    rows = table(tree.path / "table.csv")
    said = {pathlib.Path(os.path.relpath(row["needle"], "needles")).as_posix(): row["status"]
            for row in rows}  # fmt: skip
    assert {path: status for path, status in said.items() if status in STATUSES[:3]} == {
        **lacking, "../haystack/damaged.jpg": "unreadable"
    }  # fmt: skip
    assert left < {path for path, status in said.items() if status == "left out"}
    # the page
    page = (tree.path / "page.html").read_text(encoding="utf-8")
    shown, places = {}, []
    for section in re.findall("<section id=.*?</section>", page, re.DOTALL):
        folder = html.unescape(re.search("<h2>(.*?)</h2>", section)[1]).replace(os.sep, "/")
        places.append(folder not in folders)
        for status, name in re.findall(r'<li class="(\w+)">.*?<figcaption>(.*?)<br>', section):
            shown[f"{folder}/{html.unescape(name)}"] = status
    assert {path: each for path, each in shown.items() if each != "found"} == lacking
    assert places == sorted(places) and len({*places}) == 2  # what is found as a whole comes last
    box = html.unescape(page[: page.index("<table>")])
    for line in ("disk image: archive, ", "phone: hidden", "letters: other file"):
        assert f"<li>{os.path.join('needles', line)}" in box
    assert "<li>haystack: in the library: " in box
    # stderr
    first = re.findall(r"^\d+ of \d+ lacking: (.*)$", "\n".join(done.lacking), re.MULTILINE)
    assert len(first) == 20 and {each.replace(os.sep, "/") for each in first} < folders
    assert f"and {len(folders) - 20} more; page.html shows all\n" in done.err
    assert f"{len(folders)} folders hold what the library lacks, " in done.err
    missing, better, unreadable = counts
    assert f", {missing} missing (" in done.err
    assert f", {better} better here, {unreadable} unreadable\n" in done.err
    for word in ("1998.zip: archive", ".trashed-1-IMG_7.jpg: hidden", "letters, only .doc",
                 "cannot read haystack"):  # fmt: skip
        assert f"[WARN] {word}" in done.err or f"{os.sep}{word}" in done.err


# ------------------------------------------------------------------------------------------------
# The page
# ------------------------------------------------------------------------------------------------


def test_a_page_of_many_needles():
    findings = [Finding(f"n/{i // 50}/{i}.jpg", f"h/{i}.jpg", 0, bytes=1) for i in range(40_000)]
    args = SimpleNamespace(
        haystack=["h"], needles="n", jobs=1, dask=None, cache=None, article=False, rotated=False
    )
    library = SimpleNamespace(unreadable=[], team=Team(args))
    started = time.monotonic()
    page = Page(Results(library, findings, [Listing("n", False)])).content().decode()
    assert time.monotonic() - started < 20
    assert page.count("<img ") == page.count('loading="lazy"') == 2 * 2000
    assert page.count('<li class="found">') == 2000
    assert "38,000 more that are found stand in a table only (--report table.csv)" in page
    assert page.count('<a href="#f') == page.count("<section ") == 800
    # what is missing stands on it however much is found
    findings = [*findings[: 41 * 50], Finding("n/z/a.nef", bytes=1)]
    page = Page(Results(library, findings, [Listing("n", False)])).content().decode()
    assert page.count('<li class="missing">') == 1
    assert page.index('<a href="#f0">z<') < page.index('<a href="#f1">0<')


@pytest.fixture(scope="module")
def chromium():
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    switches = "headless no-sandbox disable-gpu disable-dev-shm-usage disable-background-networking"
    for switch in switches.split():
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options, service) as browser:
        browser.set_script_timeout(60)
        yield browser


@pytest.fixture
def browser(chromium):
    """Functions that open a page so many pixels wide, and run a script in it."""

    def load(page, width=1200):
        chromium.get_log("performance")
        chromium.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 800},
        )
        chromium.get(page.as_uri())

    def pictures():
        """(alt, width in pixels, start of its address, class of its item) of each picture."""
        chromium.execute_script(
            "for (const fold of document.querySelectorAll('details')) fold.open = true;"
            "for (const image of document.images) image.loading = 'eager';"
        )
        return chromium.execute_async_script(
            "const done = arguments[0];"
            "Promise.allSettled([...document.images].map(image => image.decode())).then(() =>"
            " done([...document.images].map(image => [image.alt, image.naturalWidth,"
            "  image.src.slice(0, 23), image.closest('li').className])))"
        )

    def asked():
        """The addresses that were asked for since the page was opened."""
        log = (json.loads(entry["message"])["message"] for entry in chromium.get_log("performance"))
        return [
            message["params"]["request"]["url"]
            for message in log
            if message["method"] == "Network.requestWillBeSent"
        ]

    def visible(selector):
        """The texts of what is seen of a selector's elements."""
        return chromium.execute_script(
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter(each => each.checkVisibility()).map(each => each.textContent)",
            selector,
        )

    return SimpleNamespace(
        load=load,
        pictures=pictures,
        asked=asked,
        visible=visible,
        run=chromium.execute_script,
        find=lambda selector: chromium.find_element("css selector", selector),
    )


def film(path, frames):
    """Write a video; return whether this OpenCV can, and reads it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    size = frames[0].shape[1::-1]
    writer = cv2.VideoWriter(os.fspath(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, size)
    for frame in frames:
        writer.write(frame)
    writer.release()
    return os.path.exists(path) and cv2.VideoCapture(os.fspath(path)).read()[0]


@pytest.fixture
def gallery(tree):
    """Needles of each sort that the page shows in its own way, and their page."""
    mirrored = np.ascontiguousarray(draw(3)[:, ::-1])
    large = encode(draw(24, 640, 480), quality=95)
    put(tree.path / "haystack" / "small.jpg", half(draw(20, 640, 480)))
    put(tree.path / "haystack" / "grey.jpg", cv2.cvtColor(draw(21), cv2.COLOR_BGR2GRAY))
    put(tree.path / "haystack" / "scan.tif", draw(22))
    put(tree.needles / "all found" / "1.jpg", encode(draw(1), quality=60))
    put(tree.needles / "all found" / "2.jpg", encode(draw(2)))
    put(tree.needles / "few" / "new.png", draw(52))
    put(tree.needles / "few" / "4.jpg", encode(draw(4)))
    put(tree.needles / "few" / "twin.jpg", draw(50))
    put(tree.needles / "better" / "whole.jpg", draw(20, 640, 480))
    put(tree.needles / "better" / "colours.jpg", draw(21))
    put(tree.needles / "many" / "new.jpg", draw(50))
    put(tree.needles / "many" / "mirrored.jpg", mirrored)
    put(tree.needles / "many" / "scan.tif", draw(54))
    put(tree.needles / "many" / "raw.nef", encode(draw(55), ".tiff"))
    put(tree.needles / "many" / "raw without.cr2", RAW)
    put(tree.needles / "many" / "cut.jpg", large[: len(large) * 2 // 3])
    put(tree.needles / "many" / "broken.jpg", b"no image")
    tree.has_film = film(tree.needles / "many" / "film.avi", [draw(56), draw(57), draw(58)])
    for path in tree.needles.rglob("*.*"):
        dated(path, "2014-12-24 18:03")
    tree.done = tree.run("--report", "page.html")
    assert tree.done.status == 0
    tree.page = tree.path / "page.html"
    tree.html = tree.page.read_text(encoding="utf-8")
    return tree


def items(page):
    """{name of a needle: (its caption, the captions beside it)} of the page's items, as text."""
    found = {}
    for item in re.findall(r"<li .*?</li>", page, re.DOTALL):
        captions = re.findall(r"<figcaption>(.*?)</figcaption>", item, re.DOTALL)
        texts = [
            html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<br>", "\n", each))) for each in captions
        ]
        name, _, rest = texts[0].partition("\n")
        found[name] = rest, texts[1:]
    return found


def embedded(page, name):
    """The image of a name that stands in the page itself."""
    (data,) = re.findall(rf'<img src="data:image/jpeg;base64,([^"]*)" alt="{name}"', page)
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def test_a_caption_says_what_there_is_to_know(gallery):
    captions = items(gallery.html)
    folder = os.path.join("haystack", "2006")
    for name, (caption, _) in captions.items():
        (path,) = (
            path
            for path in gallery.needles.rglob(name)
            if (name, path.parent.name) != ("new.jpg", "few")
        )
        size = path.stat().st_size
        shown = f"{size} bytes" if size < 1000 else f"{size / 1000:.{int(size < 9950)}f} KB"
        assert re.search(rf"\n2014-12-24 18:03,? {shown}$", caption), name
    said = {name: caption.partition("\n")[0] for name, (caption, _) in captions.items()}
    others = {name: beside for name, (_, beside) in captions.items()}
    smaller = "its copy has 320 x 240, this one 640 x 480"
    assert said["whole.jpg"] == f"better here than in the library: {smaller}"
    assert said["colours.jpg"] == "better here than in the library: its copy is only in grey"
    assert others["whole.jpg"] == ["small.jpg\nthe same picture, in haystack"]
    assert others["1.jpg"] == [f"1.jpg\nthe same picture, in {folder}"]
    assert others["2.jpg"] == [f"2.jpg\nthe same bytes, in {folder}"]
    assert said["mirrored.jpg"] == "missing"
    assert others["mirrored.jpg"] == [f"3.jpg\nnot counted: looks like this, in {folder}"]
    assert said["new.jpg"].startswith("missing")
    assert f"the same file also in {os.path.join('needles', 'few')}" in said["new.jpg"]
    assert f"the same file also in {os.path.join('needles', 'many')}" in said["twin.jpg"]
    assert said["broken.jpg"].startswith("unreadable: not an image")
    assert said["cut.jpg"].startswith("unreadable: the end of the file is missing")
    assert said["new.png"] == "missing" and others["new.png"] == []


def test_a_raw_files_preview_and_a_videos_first_frame_are_shown(gallery):
    shown = {"raw.nef": draw(55), "scan.tif": draw(54), "new.png": draw(52)}
    if gallery.has_film:
        shown["film.avi"] = draw(56)
    for name, image in shown.items():
        picture = embedded(gallery.html, re.escape(name))
        assert picture.shape == (180, 240, 3)
        assert cv2.absdiff(picture, cv2.resize(image, (240, 180))).mean() < 8, name
    for name in ("raw without.cr2", "broken.jpg"):
        assert f'<span class="none">{name}</span>' in gallery.html
        assert f'alt="{name}"' not in gallery.html


def test_the_page_stands_alone(gallery, browser):
    os.rename(gallery.needles, gallery.path / "thrown away")
    browser.load(gallery.page)
    widths = {}
    for alt, width, source, status in browser.pictures():
        if status != "found":
            assert source == "data:image/jpeg;base64,"
            widths[alt] = width
        else:
            assert source.startswith("file:///")
    names = "new.jpg mirrored.jpg 3.jpg scan.tif raw.nef whole.jpg small.jpg colours.jpg grey.jpg"
    names = [*names.split(), "new.png", "twin.jpg", "cut.jpg", *(["film.avi"] * gallery.has_film)]
    assert sorted(widths) == sorted(names)
    assert set(widths.values()) == {240}
    assert all(url.startswith(("file:///", "data:")) for url in browser.asked())
    assert not re.search(r"https?:", gallery.html)


def test_what_is_found_is_folded_and_shown_by_link(gallery, browser):
    browser.load(gallery.page)
    folds = "return [...document.querySelectorAll('details')].map(each => each.open)"
    assert browser.run(folds) == [False, False]
    assert browser.visible("li.found") == []
    found = [each for each in browser.pictures() if each[3] == "found"]
    assert sorted(alt for alt, *_ in found) == sorted(2 * ["1.jpg", "2.jpg", "4.jpg"])
    assert all(width == 320 and source == "file:///" for _, width, source, _ in (
        (alt, width, source[:8], status) for alt, width, source, status in found
    ))  # fmt: skip
    assert len(browser.visible("li.found")) == 3


def test_the_index_leads_to_the_folders(gallery, browser):
    browser.load(gallery.page)
    rows = browser.run(
        "return [...document.querySelectorAll('table tr')].map(row =>"
        " [...row.cells].map(cell => cell.textContent.trim()))"
    )
    many = 7 + gallery.has_film
    assert rows == [
        ["many", f"{many} of {many} lacking"],
        ["better", "2 of 2 lacking"],
        ["few", "2 of 3 lacking"],
        ["all found", "0 of 2 lacking"],
    ]
    for number, name in enumerate(("many", "better", "few", "all found")):
        browser.find(f"table tr:nth-child({number + 1}) a").click()
        assert browser.run(
            "const there = document.querySelector(location.hash);"
            "return [there.tagName, there.querySelector('h2').textContent,"
            " there.getBoundingClientRect().top < innerHeight]"
        ) == ["SECTION", name, True]


def test_a_folder_has_its_whole_path_to_copy_and_a_link(gallery, browser):
    browser.load(gallery.page)
    shown = browser.run(
        "return [...document.querySelectorAll('section')].map(each => ["
        " each.querySelector('h2').textContent, each.querySelector('p code').textContent,"
        " each.querySelector('p a').href, each.querySelector('p').textContent.split(':')[0]])"
    )
    part = {"few": "2 of 3 lacking", "better": "2 of 2 lacking", "all found": "0 of 2 lacking"}
    assert [each[0] for each in shown] == ["many", "better", "few", "all found"]
    for name, path, link, summary in shown:
        assert path == str(gallery.needles / name)
        assert link == (gallery.needles / name).as_uri()
        assert summary == part.get(name, summary)
    # each picture is a link to its file, too
    links = browser.run("return [...document.querySelectorAll('figure a')].map(each => each.href)")
    assert (gallery.needles / "many" / "raw without.cr2").as_uri() in links
    assert (gallery.path / "haystack" / "small.jpg").as_uri() in links


def test_no_name_is_broken_inside_a_word_on_a_narrow_screen(gallery, browser):
    for number, name in enumerate(("1999 Norway in winter", "Grandmother", "DCIM/100CANON")):
        put(gallery.needles / name / "a.nef", RAW[number:])
    assert gallery.run("--report", "page.html").status == 0
    browser.load(gallery.page, 400)
    broken = browser.run(
        "return [...document.querySelectorAll('td a')].filter(link => {"
        " const words = link.textContent.split(/[ /]/), range = document.createRange();"
        " let place = 0;"
        " return words.some(word => {"
        "  range.setStart(link.firstChild, place); place += word.length;"
        "  range.setEnd(link.firstChild, place); place += 1;"
        "  return range.getClientRects().length > 1 }) }).map(link => link.textContent)"
    )
    assert broken == []
    assert len(browser.visible("td a")) == 7


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_does_not_scroll_sideways(gallery, browser, width):
    put(gallery.needles / ("long" * 30) / ("name" * 40 + ".jpg"), draw(60))
    put(gallery.needles / ("long" * 30) / ("deep" * 20) / ("name" * 40 + ".cr2"), RAW)
    assert gallery.run("--report", "page.html").status == 0
    browser.load(gallery.page, width)
    browser.pictures()
    assert browser.run("return innerWidth") == width
    sizes = "const all = document.documentElement; return [all.scrollWidth, all.clientWidth]"
    inside, outside = browser.run(sizes)
    assert inside <= outside <= width
    beyond = browser.run(
        "return [...document.querySelectorAll('main *')].filter(each =>"
        " each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML)"
    )
    assert beyond == []


def test_a_page_of_hostile_names(mixed, browser):
    browser.load(mixed.path / "page.html")
    pictures = browser.pictures()
    assert len(pictures) > 15 and all(alt and width > 0 for alt, width, *_ in pictures), pictures
    text = browser.run("return document.body.textContent")
    assert "scan.tif" in text
    assert os.name == "nt" or (HOSTILE in text and '"><script>.jpg' in text)
    headings = browser.run(
        "return [...document.querySelectorAll('h1, h2, h3')].map(each => each.tagName)"
    )
    assert headings == ["H1"] + ["H2"] * (4 + (os.name != "nt"))
    odd = "script, img[src=x], [onerror], [onload], iframe, object, link, base"
    assert browser.run(f"return document.querySelectorAll('{odd}').length") == 0
    asked = browser.asked()
    assert len(asked) > 15 and all(url.startswith(("file:///", "data:")) for url in asked)
    # and a script, had one got in, would not run
    browser.run(
        "const one = document.createElement('script'); one.textContent = 'window.ran = 1';"
        "document.body.append(one)"
    )
    assert browser.run("return window.ran === undefined")


def test_the_page_says_when_and_how_it_was_made(tree):
    put(tree.needles / "x" / "a.jpg", draw(50))
    before = time.strftime("%Y-%m-%d %H:%M")
    tree.run("--report", "a page.html")
    page = (tree.path / "a page.html").read_text(encoding="utf-8")
    call = "hash_and_search.py --haystack haystack --needles needles --report "
    assert call in page and "a page.html" in page.partition(call)[2].partition("</code>")[0]
    assert before in page or time.strftime("%Y-%m-%d %H:%M") in page


@pytest.mark.skipif(not linux, reason="drops root's powers as Linux does")
def test_a_folder_that_cannot_be_listed_is_on_the_page(tree):
    put(tree.needles / "closed" / "1.jpg", encode(draw(1)))
    put(tree.needles / "x" / "a.jpg", draw(50))
    os.chmod(tree.needles / "closed", 0)
    done = tree.run(*REPORTS, preexec_fn=without_root_powers)
    os.chmod(tree.needles / "closed", 0o700)
    assert done.status == 0 and done.printed == ["closed", "x"]
    page = (tree.path / "page.html").read_text(encoding="utf-8")
    assert "<h2>closed</h2>\n<p>cannot be listed: " in page and ">closed</a>" in page


def test_the_table_can_be_read_by_any_reader(mixed):
    """Each row has as many cells as the header, with Windows' line ends, whatever the names."""
    content = (mixed.path / "table.csv").read_bytes()
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert content.count(b"\r\n") == len(rows) and content.endswith(b"\r\n")
    assert {pathlib.Path(row[0]).name for row in rows} >= {"a&copy.jpg", "photo 6.jpg"}


def test_a_picture_that_a_worker_cannot_make_ends_no_run(tree, monkeypatch):
    def fails(path):
        raise ValueError("a worker failed: KilledWorker")

    monkeypatch.chdir(tree.path)
    monkeypatch.setattr(hash_and_search, "picture_of", fails)
    put(tree.needles / "x" / "a.tif", draw(60))
    options = ["--haystack", "haystack", "--needles", "needles", "--report", "page.html"]
    assert hash_and_search.main(options) == 0
    assert '<span class="none">a.tif</span>' in (tree.path / "page.html").read_text()
