"""Section 8: the options, the streams, the terminal, the exit status, and interruptions."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import forking
import hash_and_search
from conftest import (
    RAW,
    REPORTS,
    SCRIPT,
    TOP,
    command,
    draw,
    encode,
    half,
    png_that_claims,
    put,
    table,
    without_root_powers,
)
from test_copying import contents

linux = sys.platform.startswith("linux")
CALL = ("-a", "haystack", "-n", "needles")


def heeding_interruptions():
    """Whoever started the tests may have them ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(tree, *options, **more):
    return subprocess.Popen(
        command(*CALL, *options),
        cwd=tree.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def ends_at_once_with_one_line(done):
    return (done.status, done.out, done.err.count("\n"), done.err[:8]) == (2, "", 1, "[ERROR] ")


# ------------------------------------------------------------------------------------------------
# The options
# ------------------------------------------------------------------------------------------------


def test_help_has_groups_defaults_and_an_example():
    done = forking.run(command("--help"), capture_output=True, text=True, check=True)
    text = " ".join(done.stdout.split())
    titles = re.findall(r"^(\w.*):$", done.stdout, re.MULTILINE)
    assert titles == ["options", "what to compare", "results", "speed", "rarely needed"]
    assert "for example: python hash_and_search.py --haystack" in text
    assert f"(default: as many as cores, {os.cpu_count()})" in text
    assert re.search(r"--exit-code end with status 1 .*? \(default: 0\)", text)
    options = set(re.findall(r"^  (?:-\w.*, )?(--[a-z-]+)", done.stdout, re.MULTILINE))
    assert options == set(
        "--help --haystack --needles --rotated --exclude --report --copy-missing --exit-code "
        "--cache --jobs --dask --article --version".split()
    )
    for group, option in (("what to compare", "--exclude"), ("results", "--copy-missing"),
                          ("speed", "--cache"), ("rarely needed", "--article")):  # fmt: skip
        section = done.stdout.partition(f"\n{group}:\n")[2].partition("\n\n")[0]
        assert f"  {option}" in section
    assert "--distance" not in text
    assert max(map(len, done.stdout.splitlines())) < 81


@pytest.mark.parametrize("arguments", [["--version"], ["-a", "x", "--version"]])
def test_the_version_names_the_packages_too(arguments):
    import cv2

    done = forking.run(command(*arguments), capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    python = ".".join(map(str, sys.version_info[:3]))
    packages = f"OpenCV {cv2.__version__}, NumPy {np.__version__}"
    told = rf"hash_and_search \S+, Python {re.escape(f'{python}, {packages}')}\n"
    assert re.fullmatch(told, done.stdout)


@pytest.mark.parametrize(
    "options",
    ["--rot", "--repor list.txt", "--copy to", "--copy-miss to", "--exit", "--art", "--job 2",
     "--cach c", "--needl x", "--hay x", "--distance 3"],
)  # fmt: skip
def test_no_option_can_be_cut_short_and_an_old_one_is_refused(tree, options):
    done = tree.run(*options.split())
    assert ends_at_once_with_one_line(done)
    assert options.split()[0] in done.err
    assert "--needles takes one" in done.err or "did you mean --" in done.err
    assert sorted(path.name for path in tree.path.iterdir()) == ["haystack", "needles"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-a", "nowhere", "-n", "needles"],
        ["-a", "haystack", "-n", "nowhere"],
        ["-a", "haystack", "-n", "no\nwhere\r\x1b"],
        ["-a", "haystack", "-n", ""],
        ["-a", "", "-n", "needles"],
        ["-a", "haystack", "nowhere", "-n", "needles"],
        ["-a", "haystack/2006/1.jpg", "-n", "needles"],
        ["-a", "haystack", "-n", "haystack/2006/1.jpg"],
        ["-a", "haystack"],
        ["-n", "needles"],
        ["-a", "-n", "needles"],
        [],
        [*CALL, "needles"],
        [*CALL, "-n", "haystack"],
        [*CALL, "--jobs", "0"],
        [*CALL, "--jobs", "-1"],
        [*CALL, "--jobs", "1025"],
        [*CALL, "--jobs", "two"],
        [*CALL, "--jobs", "9" * 5000],
        [*CALL, "--jobs"],
        [*CALL, "--report", "list.pdf"],
        [*CALL, "--report", "list"],
        [*CALL, "--report", ""],
        [*CALL, "--report", "nowhere/list.txt"],
        [*CALL, "--report", "list.txt", "--report", "haystack/2006/1.jpg"],
        [*CALL, "--cache", "nowhere/cache"],
        [*CALL, "--cache", "needles"],
        [*CALL, "--cache", ""],
        [*CALL, "--copy-missing", ""],
        [*CALL, "--rotated", "--article"],
        [*CALL, "--unknown"],
        [*CALL, "--unknown\nline"],
    ],
)
def test_wrong_calls_end_with_one_line(tree, arguments):
    done = forking.run(command(*arguments), cwd=tree.path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("[ERROR] ") and done.stderr.count("\n") == 1
    assert sorted(path.name for path in tree.path.iterdir()) == ["haystack", "needles"]


def test_a_second_needles_directory_is_refused_and_haystacks_add_up(tree):
    put(tree.path / "old" / "a.jpg", draw(50))
    put(tree.path / "more" / "a.jpg", draw(50))
    assert ends_at_once_with_one_line(tree.run("--needles", "old"))
    assert tree.run(needles="old").printed == ["old"]
    done = tree.run("-a", "more", needles="old")
    assert done.printed == [] and "processed 9 images" in done.out


@pytest.mark.parametrize("which", ["haystack", "needles"])
def test_a_quotation_mark_in_a_directorys_name_gets_a_hint(tree, which):
    r"""Windows takes "C:\Photos\" for C:\Photos" and what follows."""
    name = 'C:\\Photos" --report list.txt'
    options = {"haystack": (name,)} if which == "haystack" else {"needles": name}
    done = tree.run(**options)
    assert ends_at_once_with_one_line(done)
    assert "backslash before a quotation mark" in done.err


def test_mistakes_get_advice(tree):
    put(tree.needles / "As PNG" / "a.jpg", draw(50))
    for arguments, advice in {
        "-a haystack -n needles/As PNG": "put a path that has spaces in quotes",
        "-a haystack -n needles haystack": "--needles takes one folder",
        "-a my haystack -n needles": "put a path that has spaces in quotes",
        "-a haystack -n needles --rotate": "did you mean --rotated?",
        "-a haystack -n needles --reports x.csv": "did you mean --report?",
        "": "for example: python hash_and_search.py --haystack Pictures --needles ",
    }.items():
        arguments = command(*arguments.split())
        done = subprocess.run(arguments, cwd=tree.path, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert advice in done.stderr


# ------------------------------------------------------------------------------------------------
# Where a report may not go
# ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="links want rights there")
def test_a_report_does_not_replace_what_a_link_leads_to(tree):
    put(tree.needles / "x" / "a.jpg", draw(50))
    put(tree.path / "precious.doc", b"a diary")
    put(tree.path / "table.csv", b"another report")
    for target in ("precious.doc", "table.csv", "haystack/2006/1.jpg"):
        before = (tree.path / target).read_bytes()
        os.symlink(target, tree.path / "list.txt")
        assert ends_at_once_with_one_line(tree.run("--report", "list.txt"))
        assert (tree.path / target).read_bytes() == before
        assert (tree.path / "list.txt").is_symlink()
        (tree.path / "list.txt").unlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_report_is_not_written_to_a_pipe_or_a_folder(tree):
    os.mkfifo(tree.path / "pipe.txt")
    (tree.path / "folder.csv").mkdir()
    os.symlink("pipe.txt", tree.path / "link.txt")
    for name in ("pipe.txt", "folder.csv", "link.txt"):
        assert ends_at_once_with_one_line(tree.run("--report", name))
    assert len(list(tree.path.iterdir())) == 5 and not list((tree.path / "folder.csv").iterdir())


def test_a_report_is_not_written_over_the_cache(tree):
    assert tree.run("--cache", "cache.txt").status == 0
    before = (tree.path / "cache.txt").read_bytes()
    for name in ("cache.txt", "./cache.txt", str(tree.path / "cache.txt"), "haystack/../cache.txt"):
        assert ends_at_once_with_one_line(tree.run("--report", name, "--cache", "cache.txt"))
    if os.name != "nt":
        os.symlink("cache.txt", tree.path / "list.txt")
        assert ends_at_once_with_one_line(tree.run("--report", "list.txt", "--cache", "cache.txt"))
        assert ends_at_once_with_one_line(tree.run("--report", "cache.txt", "--cache", "list.txt"))
    assert (tree.path / "cache.txt").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows counts whole paths")
def test_a_reports_name_that_leaves_no_room_fails_at_the_start(tree):
    for ending in (".txt", ".csv", ".html"):
        name = "x" * (249 - len(ending)) + ending
        assert ends_at_once_with_one_line(tree.run("--report", name))
    assert sorted(path.name for path in tree.path.iterdir()) == ["haystack", "needles"]
    assert tree.run("--report", "x" * 200 + ".txt").status == 0


def test_a_report_replaces_only_what_begins_as_such_a_report_does(tree):
    put(tree.needles / "x" / "3d0d7e5f", encode(draw(50)))  # no ending, and the first of the list
    put(tree.needles / "x" / "a.nef", RAW)
    assert tree.run(*REPORTS).status == 0
    assert tree.run(*REPORTS).status == 0
    put(tree.path / "haystack" / "notes.doc", b"dear")
    for name, others in {
        "list.txt": (b"milk\neggs\n", b"haystack/notes.doc\n", b"\na.jpg\n"),
        "table.csv": (b"name,birthday\n", b"needle\n"),
        "page.html": (b"<html>my homepage", b"\n"),
    }.items():
        for content in others:
            put(tree.path / name, content)
            done = tree.run("--report", name)
            assert ends_at_once_with_one_line(done) and "is no such report" in done.err
            assert (tree.path / name).read_bytes() == content
        ours = {"list.txt": (b"old/a.MOV\nx", b"\xff/b.jpg"), "table.csv": (b"needle,directory,",)}
        for content in (b"", *ours.get(name, ())):
            put(tree.path / name, content)
            assert tree.run("--report", name).status == 0
            assert (tree.path / name).read_bytes() != content


# ------------------------------------------------------------------------------------------------
# The exit status
# ------------------------------------------------------------------------------------------------


def test_the_exit_status_tells_of_what_is_missing_if_asked(tree):
    put(tree.path / "haystack" / "small.jpg", half(draw(20, 640, 480)))
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    assert tree.run("--exit-code").status == 0
    put(tree.needles / "x" / "better.jpg", draw(20, 640, 480))
    assert tree.run("--exit-code").status == 1
    (tree.needles / "x" / "better.jpg").unlink()
    put(tree.needles / "x" / "broken.jpg", b"no image")
    assert tree.run("--exit-code").status == 1
    (tree.needles / "x" / "broken.jpg").unlink()
    put(tree.needles / "x" / "new.nef", RAW)
    assert tree.run("--exit-code").status == 1
    put(tree.needles / "x" / "broken.jpg", b"no image")
    assert tree.run().status == 0
    assert tree.run("--exit-code", "--copy-missing", "to", *REPORTS).status == 1
    assert (tree.path / "to" / "x" / "new.nef").read_bytes() == RAW
    assert all((tree.path / name).stat().st_size > 10 for name in REPORTS[1::2])
    assert tree.run("--exit-code", "--report", "list.pdf").status == 2
    assert tree.run("--exit-code", haystack=("haystack", "to")).status == 0


@pytest.mark.skipif(not linux, reason="drops root's powers as Linux does")
def test_a_folder_that_cannot_be_listed_is_unreadable_too(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    put(tree.needles / "closed" / "new.jpg", draw(50))
    os.chmod(tree.needles / "closed", 0)
    done = tree.run("--exit-code", preexec_fn=without_root_powers)
    os.chmod(tree.needles / "closed", 0o700)
    assert done.printed == ["closed"] and done.status == 1


def test_an_empty_backup_is_no_error_and_not_empty_of_what_is_lacking(tree):
    assert tree.run("--exit-code").status == 1
    assert tree.run().status == 0
    put(tree.needles / "x" / "a.doc", b"dear")
    assert tree.run("--exit-code").status == 1


GOES = """
import os
import cv2

def gone(function):
    def call(*arguments, **options):
        if os.path.isdir(os.environ["GOES"]):
            os.rename(os.environ["GOES"], "unplugged")
            if os.environ["LEAVES"]:
                os.mkdir(os.environ["GOES"])
        return function(*arguments, **options)
    return call

DECODERS = ("imdecode", "imdecodemulti")
for name in DECODERS:
    setattr(cv2, name, gone(getattr(cv2, name)))
"""


@pytest.mark.skipif(os.name == "nt", reason="an open folder can't be moved there")
@pytest.mark.parametrize("leaves", ["", "an empty folder"])
@pytest.mark.parametrize("which", ["haystack", "needles", "second"])
def test_a_disk_that_goes_ends_the_run(tree, which, leaves):
    put(tree.path / "second" / "a.jpg", draw(40))
    put(tree.path / "goes" / "sitecustomize.py", GOES.encode())
    for number in range(40):
        put(tree.needles / "x" / f"{number}.jpg", draw(50 + number))
    env = {"PYTHONPATH": str(tree.path / "goes"), "GOES": which, "LEAVES": leaves}
    done = tree.run(haystack=("haystack", "second"), env={**os.environ, **env})
    assert done.status == 2 and "directories..." not in done.out
    told = f"[ERROR] {which} is gone; is the disk still connected?\n"
    assert done.err.endswith(told) and done.err.count("\n") <= 4


# ------------------------------------------------------------------------------------------------
# The streams
# ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")
def test_control_characters_in_names_are_shown_and_not_sent(tree):
    names = {
        "line\nbreak": r"line\nbreak",
        "red \x1b[31m": r"red \x1b[31m",
        "bell\a\r\tdel\x7f": r"bell\x07\r\tdel\x7f",
        "next\x85line\u2028sep\u2029": r"next\x85line\u2028sep\u2029",
        "[INFO] faked\n[INFO] other": r"[INFO] faked\n[INFO] other",
    }
    for number, name in enumerate(names):
        put(tree.needles / name / "a.jpg", draw(50 + number))
        put(tree.needles / "part" / name / "1.jpg", encode(draw(1)))
        put(tree.needles / "part" / name / f"{number}.nef", RAW[number:])
        put(tree.needles / "part" / name / "broken\x1b\n.jpg", b"no image")
        put(tree.needles / f"docs {name}" / "deep" / "a.doc", b"dear")
    done = tree.run("--report", "page.html", "--report", "table.csv")
    assert sorted(done.printed) == sorted(names.values())
    for shown in names.values():
        assert f"[INFO]   2 of 3 lacking: part/{shown}\n" in done.err
    assert done.err.count("/broken\\x1b\\n.jpg: not an image") == 3
    assert done.err.count("[WARN] docs ") == 3
    assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", done.out + done.err)
    page = (tree.path / "page.html").read_text(encoding="utf-8")
    assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", page)
    assert all(f"<h2>{shown}</h2>" in page for shown in names.values())
    assert len(table(tree.path / "table.csv")) == 25  # which has them as they are


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lose_only_what_nobody_reads(tree, closed):
    put(tree.needles / "x" / "broken.jpg", b"broken")
    put(tree.needles / "x" / "claims.png", png_that_claims(60000, 6000))
    put(tree.needles / "y" / "1.jpg", encode(draw(1)))
    line = f'exec "$@" {closed}'
    arguments = ["sh", "-c", line, "sh", *command(*CALL)]
    arguments += ["--report", "table.csv", "--cache", "cache", "--copy-missing", "to"]
    done = subprocess.run(arguments, cwd=tree.path, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert ("directories...\n[INFO] x\n" in done.stdout) == (">&-" not in closed.split())
    assert ("cannot read" in done.stderr) == ("2>&-" not in closed)
    assert ("[INFO] copied 2 " in done.stderr) == ("2>&-" not in closed)
    rows = table(tree.path / "table.csv")
    assert [row["status"] for row in rows] == ["unreadable", "unreadable", "found"]
    assert sorted(contents(tree.path / "to")) == ["x/broken.jpg", "x/claims.png"]


@pytest.mark.skipif(not linux, reason="needs a device that is full")
def test_a_full_stderr_loses_nothing_but_its_lines(tree):
    for number in range(25):
        put(tree.needles / "x" / f"{number:02}.jpg", f"broken {number}".encode())
        put(tree.needles / "y" / f"{number:02}.nef", RAW[number:])
    put(tree.needles / "y" / "1.jpg", encode(draw(1)))
    expected = tree.run(*REPORTS)
    reports = {name: (tree.path / name).read_bytes() for name in REPORTS[1::2]}
    for name in reports:
        (tree.path / name).unlink()
    arguments = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh", *command(*CALL, *REPORTS)]
    arguments += ["--cache", "cache", "--copy-missing", "to"]
    done = subprocess.run(arguments, cwd=tree.path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.partition("check")[2] == expected.out.partition("check")[2]
    assert (tree.path / "list.txt").read_bytes() == reports["list.txt"]
    assert (tree.path / "table.csv").read_bytes() == reports["table.csv"]
    page = (tree.path / "page.html").read_bytes()
    assert page.partition(b"Made on")[0] == reports["page.html"].partition(b"Made on")[0]
    assert page.endswith(b"</html>\n") and len(contents(tree.path / "to")) == 50


@pytest.mark.skipif(not linux, reason="needs a device that is full")
def test_a_full_stdout_ends_the_run_with_one_line(tree):
    put(tree.needles / "x" / "a.jpg", draw(50))
    arguments = ["sh", "-c", 'exec "$@" >/dev/full', "sh", *command(*CALL)]
    done = subprocess.run(arguments, cwd=tree.path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "[ERROR] [Errno 28] No space left on device\n"


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_a_closed_pipe_is_quiet(tree):
    for name in "abc":
        put(tree.needles / name / "x.jpg", draw(45))
    run = start(tree)
    run.stdout.readline()
    run.stdout.close()
    assert run.stderr.read() == ""
    assert run.wait() == 141


@pytest.mark.skipif(not linux, reason="a locale as Linux has it")
def test_names_beyond_ascii_in_a_locale_that_has_none(tree):
    put(tree.path / "haystack" / "Bücher" / "small.jpg", half(draw(20, 640, 480)))
    put(tree.needles / "Été" / "à la mer.jpg", draw(50))
    put(tree.needles / "Été" / "größer.jpg", draw(20, 640, 480))
    put(tree.needles / "\U0001f3d4" / "ü\udcff.jpg".encode("utf-8", "surrogateescape").decode(
        "utf-8", "surrogateescape"), b"no image")  # fmt: skip
    options = (*REPORTS, "--report", "Übersicht.csv", "--cache", "Zwischenlager.db")
    whole = tree.run(*options, "--copy-missing", "nach Übersee")
    reports = {name: (tree.path / name).read_bytes() for name in options[1::2][:4]}
    copies = contents(tree.path / "nach Übersee")
    assert whole.status == 0 and whole.printed == ["\U0001f3d4"] and len(copies) == 3
    for setting in (
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    ):
        for name in reports:
            (tree.path / name).unlink()
        done = tree.run(*options, "--copy-missing", "neu ä", env={**os.environ, **setting})
        assert done.status == 0 and done.printed == whole.printed
        assert done.err.replace("neu ä", "nach Übersee") == whole.err
        for name, content in reports.items():
            again = (tree.path / name).read_bytes()
            assert again.partition(b"Made on")[0] == content.partition(b"Made on")[0]
        assert contents(tree.path / "neu ä") == copies
        subprocess.run(["rm", "-r", tree.path / "neu ä"], check=True)


# ------------------------------------------------------------------------------------------------
# The terminal
# ------------------------------------------------------------------------------------------------

SLOW = """
import time
import cv2

def slowly(function):
    def call(*arguments, **options):
        time.sleep(0.05)
        return function(*arguments, **options)
    return call

cv2.imdecodemulti = slowly(cv2.imdecodemulti)
"""


def on_a_terminal(tree):
    """Run with stderr on a terminal; return [(seconds since hashing began, what is shown)]."""
    put(tree.path / "slow" / "sitecustomize.py", SLOW.encode())
    ours, theirs = os.openpty()
    run = subprocess.Popen(
        command(*CALL, "--jobs", "1"),
        cwd=tree.path,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(tree.path / "slow")},
    )
    os.close(theirs)
    run.stdout.readline()
    began, shown, rest = time.monotonic(), [], ""
    try:
        while block := os.read(ours, 4096):
            *parts, rest = (rest + block.decode()).replace("\n", "\r").split("\r")
            shown += [(time.monotonic() - began, part) for part in parts]
    except OSError:  # how Linux says that the other end is closed
        pass
    run.communicate()
    os.close(ours)
    assert run.returncode == 0
    return [*shown, (time.monotonic() - began, rest)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_progress_on_a_terminal_and_only_there(tree):
    for count in range(70):
        put(tree.path / "haystack" / f"{count:02}.png", draw(count, 64, 48))
    put(tree.path / "haystack" / "30a.png", b"broken")
    shown = on_a_terminal(tree)
    lines = [(when, part) for when, part in shown if " of 79 images" in part]
    assert len(lines) > 4  # sixteen at a time
    told = r"\[INFO\] \d+ of 79 images, \d+ a second, 0:\d\d:\d\d left *"
    assert all(re.fullmatch(told, part) and len(part) == 79 for _, part in lines)
    texts = [part for _, part in shown if part.strip()]
    broken = "[WARN] cannot read haystack/30a.png: not an image"
    assert any(part.startswith(broken) for part in texts)
    assert "[INFO] 0 photographs and videos: 0 found, 0 missing" in texts[-2:]
    assert {len(part) for _, part in shown if part and not part.strip()} == {79}
    assert " of 79 images" not in tree.run().err


# ------------------------------------------------------------------------------------------------
# Interruptions
# ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_an_interruption_is_one_line(tree):
    picture = encode(draw(1, 3000, 2000), ".png")
    put(tree.path / "haystack" / "0.png", picture)
    for count in range(1, 400):
        os.link(tree.path / "haystack" / "0.png", tree.path / "haystack" / f"{count}.png")
    put(tree.path / "list.txt", b"an/older/report.jpg")
    run = start(tree, "--report", "list.txt", preexec_fn=heeding_interruptions)
    assert run.stdout.readline()
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate()
    assert run.returncode == 130 and "processed" not in out
    told = "[ERROR] interrupted; with --cache the next run goes on\n"
    assert err == told or err.endswith("videos\n" + told)
    assert (tree.path / "list.txt").read_bytes() == b"an/older/report.jpg"
    assert sorted(path.name for path in tree.path.iterdir()) == ["haystack", "list.txt", "needles"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_an_interruption_that_whoever_started_it_ignores_is_ignored(tree):
    """As nohup and a shell's & have it."""
    picture = encode(draw(1, 1200, 900), ".png")
    for count in range(40):
        put(tree.path / "haystack" / f"{count:02}.png", picture)
    run = start(tree, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    for _ in range(10):
        time.sleep(0.03)
        run.send_signal(signal.SIGINT)
    out, err = run.communicate()
    assert run.returncode == 0 and "processed 48 images" in out and "interrupted" not in err


# ------------------------------------------------------------------------------------------------
# What it needs
# ------------------------------------------------------------------------------------------------


def test_three_packages_are_required():
    lines = (TOP / "requirements.txt").read_text().splitlines()
    required = [line for line in lines if not line.startswith("#")]
    assert [re.split(">=", line)[0] for line in required] == ["opencv-python", "imutils", "numpy"]


@pytest.mark.parametrize(
    ("module", "error"),
    [
        ("cv2", "ModuleNotFoundError(\"No module named 'cv2'\")"),
        ("imutils", "ModuleNotFoundError(\"No module 'imutils'\")"),
        ("cv2", "ImportError('libGL.so.1: cannot open object')"),
        ("cv2", "ImportError('DLL load failed: cv2')"),
    ],
)
def test_opencv_that_cannot_be_imported(tmp_path, module, error):
    (tmp_path / f"{module}.py").write_text(f"raise {error}")
    done = subprocess.run(
        [sys.executable, SCRIPT, "-a", "x", "-n", "y"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("[ERROR] ") and done.stderr.count("\n") == 1
    assert f"run: {sys.executable} -m pip install -r requirements.txt (or opencv-" in done.stderr


@pytest.mark.parametrize("module", ["cv2", "numpy", "imutils"])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_works_before_the_packages_are_installed(tmp_path, module, option):
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('no {module}')")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done, expected = (
        subprocess.run(command(option), env=each, capture_output=True, text=True)
        for each in (env, os.environ)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(expected.stdout)  # OpenCV says itself that it lacks NumPy


# ------------------------------------------------------------------------------------------------
# Another program
# ------------------------------------------------------------------------------------------------


def test_another_program_can_call_main_twice(tree, monkeypatch, capfd):
    put(tree.needles / "x" / "1.jpg", draw(50))
    monkeypatch.chdir(tree.path)
    before = signal.getsignal(signal.SIGINT)
    for _ in range(2):
        assert hash_and_search.main([*CALL, "--exit-code"]) == 1
    assert capfd.readouterr().out.count("directories...\n[INFO] x\n") == 2
    for wrong in (["--hay"], [*CALL, "--jobs", "0"], ["-a", "nowhere", "-n", "needles"]):
        with pytest.raises(SystemExit) as ended:
            hash_and_search.main(wrong)
        assert ended.value.code == 2 and str(ended.value)
    assert signal.getsignal(signal.SIGINT) == before
