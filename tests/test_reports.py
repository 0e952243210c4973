import csv
import html
import json
import os
import shutil
import subprocess
import sys

import pytest

from conftest import TOP, draw, encode, half, put

REPORTS = ("--report", "list.txt", "--report", "table.csv", "--report", "page.html")
HOSTILE = "<img src=x onerror=alert(1)> & 'co"


@pytest.fixture
def mixed(tree):
    """Needles of every kind; a run's three reports."""
    for seed in range(4):
        put(tree.needles / "all found" / f"{seed}.jpg", encode(draw(seed)))
    for seed in range(6, 10):
        put(tree.needles / "Été à la mer" / f"photo {seed}.jpg", encode(draw(seed), quality=35))
    put(tree.needles / "PIX" / "a b.jpg", draw(50))
    put(tree.needles / "PIX" / "a&copy.jpg", draw(53))
    put(tree.needles / "PIX" / "scan.tif", draw(51))
    put(tree.needles / "PIX" / "unreadable.jpg", b"no image")
    put(tree.needles / "As others" / "half.png", half(draw(5)))
    put(tree.needles / "As others" / "picture.webp", encode(draw(4), ".webp"))
    if os.name != "nt":
        put(tree.needles / HOSTILE / '"><script>.jpg', draw(52))
        put(tree.needles / HOSTILE / "found'&.jpg", encode(draw(3)))
    tree.done = tree.run("--distance", "3", *REPORTS)
    assert tree.done.status == 0
    return tree


def test_the_three_reports_agree(mixed):
    with open(mixed.path / "table.csv", newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "needle", "directory", "status", "distance", "match", "pixels", "match_pixels",
    ]  # fmt: skip
    listed = (mixed.path / "list.txt").read_text().splitlines()
    assert [row["needle"] for row in rows if row["status"] != "found"] == listed
    assert os.path.join("needles", "PIX", "a b.jpg") in listed
    files = [path for path in mixed.needles.rglob("*") if path.is_file()]
    assert sorted(row["needle"] for row in rows) == sorted(
        str(path.relative_to(mixed.path)) for path in files
    )
    statuses = {}
    for row in rows:
        statuses.setdefault(row["directory"], []).append(row["status"])
        assert os.path.join("needles", row["directory"]) == os.path.dirname(row["needle"])
        if row["status"] == "found":
            assert 0 <= int(row["distance"]) <= 3
            assert (mixed.path / row["match"]).is_file()
        else:
            assert row["distance"] == row["match"] == ""
    assert mixed.done.printed == [
        name for name, inside in statuses.items() if "found" not in inside
    ]
    for name, inside in statuses.items():
        count = inside.count("found")
        partly = f"[WARN] {name}: {count} of {len(inside)} found" in mixed.done.err
        assert partly == (0 < count < len(inside))
    page = (mixed.path / "page.html").read_text(encoding="utf-8")
    assert [
        page.count(f'<li class="{status}">') for status in ("found", "missing", "unreadable")
    ] == [
        sum(row["status"] == status for row in rows)
        for status in ("found", "missing", "unreadable")
    ]
    assert "1 unreadable" in page and "<script" not in page and "<img src=x" not in page
    assert html.escape(HOSTILE) in page or os.name == "nt"


def test_the_match_is_the_nearest_and_the_first_by_path(tree):
    put(tree.path / "haystack" / "b" / "copy.jpg", encode(draw(20)))
    put(tree.path / "haystack" / "a" / "copy.jpg", encode(draw(20)))
    put(tree.needles / "x" / "copy.jpg", encode(draw(20)))
    tree.run("--report", "table.csv", "--distance", "64")
    row = (tree.path / "table.csv").read_text().splitlines()[1]
    assert row.split(",")[2:5] == ["found", "0", os.path.join("haystack", "a", "copy.jpg")]
    tree.run(
        "--report", "table.csv", "--distance", "64", haystack=("haystack",), needles="haystack"
    )
    rows = [line.split(",") for line in (tree.path / "table.csv").read_text().splitlines()[1:]]
    assert all(row[0] != row[4] for row in rows) and len(rows) == 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names as Linux allows them")
def test_names_that_are_no_text_survive(tree):
    name = os.fsencode(tree.needles) + b"/\xe9t\xe9/\xff.jpg"
    put(name, encode(draw(60), ".jpg"))
    tree.run(*REPORTS)
    assert (tree.path / "list.txt").read_bytes() == b"needles/\xe9t\xe9/\xff.jpg\n"
    assert (
        b"\r\nneedles/\xe9t\xe9/\xff.jpg,\xe9t\xe9,missing,,"
        in (tree.path / "table.csv").read_bytes()
    )
    assert "/needles/%E9t%E9/%FF.jpg" in (tree.path / "page.html").read_text(encoding="utf-8")


def test_a_report_is_written_whole_or_not_at_all(tree):
    put(tree.needles / "x" / "a.jpg", draw(61))
    put(tree.path / "list.txt", b"old")
    os.link(tree.path / "list.txt", tree.path / "kept.txt")
    assert tree.run("--report", "list.txt").status == 0
    assert (tree.path / "kept.txt").read_bytes() == b"old"  # replaced, not written over
    assert (tree.path / "list.txt").read_text() == f"{os.path.join('needles', 'x', 'a.jpg')}\n"
    assert len(list(tree.path.iterdir())) == 4


def test_the_readmes_command_copies_what_is_missing(mixed):
    readme = (TOP / "README.md").read_text()
    lines = [line for line in readme.splitlines() if line.startswith("while IFS= read -r photo")]
    assert len(lines) == 1
    if os.name == "nt":
        return
    shutil.copy(mixed.path / "list.txt", mixed.path / "missing.txt")
    subprocess.run(["sh", "-c", lines[0]], cwd=mixed.path, check=True)
    copied = [path for path in (mixed.path / "to-import").rglob("*") if path.is_file()]
    listed = (mixed.path / "missing.txt").read_text().splitlines()
    assert sorted(str(path.relative_to(mixed.path / "to-import")) for path in copied) == sorted(
        listed
    )
    for path in copied:
        original = mixed.path / path.relative_to(mixed.path / "to-import")
        assert path.read_bytes() == original.read_bytes()


def test_a_page_of_many_needles(tree):
    arguments = [sys.executable, "-c", MANY, TOP, tree.path / "page.html"]
    subprocess.run(arguments, check=True)
    page = (tree.path / "page.html").read_text(encoding="utf-8")
    assert page.count("<img ") == page.count('loading="lazy"') == 10_000


MANY = """
import sys
sys.path.insert(0, sys.argv[1])
from hash_and_search import Directory, Finding, page_report
findings = [Finding(f"n/{i}.jpg", f"{i // 50}", "found", 0, f"h/{i}.jpg") for i in range(5000)]
directories = [Directory(f"{i}", findings[50 * i : 50 * i + 50]) for i in range(100)]
open(sys.argv[2], "wb").write(page_report(directories, "n"))
"""


@pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="chromium and chromedriver are not installed",
)
def test_the_page_in_a_browser(mixed):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    switches = "headless no-sandbox disable-gpu disable-dev-shm-usage disable-background-networking"
    for switch in switches.split():
        options.add_argument(f"--{switch}")
    options.add_argument("--window-size=1200,1000")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options, service) as browser:
        browser.get((mixed.path / "page.html").as_uri())
        browser.execute_script(
            "for (const fold of document.querySelectorAll('details')) fold.open = true;"
            "for (const image of document.images) image.loading = 'eager';"
        )
        browser.set_script_timeout(60)
        widths = browser.execute_async_script(
            "const done = arguments[0];"
            "Promise.allSettled([...document.images].map(image => image.decode())).then(() =>"
            " done([...document.images].map(image => [image.alt, image.naturalWidth])))"
        )
        text = browser.execute_script("return document.body.textContent")
        headings = browser.execute_script(
            "return [...document.querySelectorAll('h1, h2, h3')].map(each => each.tagName)"
        )
        elements = browser.execute_script(
            "return document.querySelectorAll('script, img[src=x], [onerror]').length"
        )
        sideways = browser.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        log = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    assert len(widths) > 15 and all(width > 0 for _, width in widths), widths
    assert all(alt for alt, _ in widths)
    assert HOSTILE in text and '"><script>.jpg' in text and "scan.tif" in text
    assert headings[0] == "H1" and headings.count("H1") == 1 and headings.count("H2") == 3
    assert elements == 0 and sideways == 0
    asked = [
        message["params"]["request"]["url"]
        for message in log
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert len(asked) > 15 and all(url.startswith("file:///") for url in asked)
