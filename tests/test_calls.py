"""However it is called: overlapping folders, two disks, odd names, closed streams, full disks."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from conftest import SCRIPT, TOP, command, draw, encode, half, png_that_claims, put, table
from test_runs import rows

linux = sys.platform.startswith("linux")


def test_a_second_needles_directory_is_refused_and_haystacks_add_up(tree):
    put(tree.path / "old" / "a.jpg", draw(50))
    put(tree.path / "more" / "a.jpg", draw(50))
    done = tree.run("--needles", "old")
    assert (done.status, done.out) == (2, "") and done.err.count("\n") == 1
    assert tree.run(needles="old").printed == ["old"]
    done = tree.run("-a", "more", needles="old")
    assert done.printed == [] and "processed 9 images" in done.out


def test_two_copies_in_the_needles_do_not_vouch_for_each_other(tree):
    for name in ("x", "y"):
        put(tree.path / "old" / name / "a.jpg", encode(draw(51)))
        put(tree.path / "old" / name / "b.mov", b"film" * 1000)
    put(tree.path / "old" / "z" / "1.jpg", encode(draw(1)))
    for haystack in (("haystack", "old"), ("old", "haystack"), ("haystack", "old/.")):
        done = tree.run(haystack=haystack, needles="old")
        assert done.printed == ["x", "y"]
        assert "processed 11 images" in done.out and done.err == ""


def test_a_library_searched_in_itself_says_so(tree):
    put(tree.path / "haystack" / "copies" / "1.jpg", half(draw(1)))
    for needles in ("haystack", "haystack/", "haystack/../haystack"):
        done = tree.run(needles=needles)
        assert done.printed == []
        told = f"[WARN] {needles}: searched in itself, so both copies lie in the needles"
        assert told in done.err
        assert "[WARN] 2006: 1 of 8 found, 1 of them only smaller" in done.err


def test_a_haystack_directory_inside_the_needles_is_kept(tree):
    put(tree.path / "disk" / "library" / "a.jpg", draw(52))
    put(tree.path / "disk" / "inbox" / "a.jpg", encode(draw(52), quality=60))
    put(tree.path / "disk" / "inbox2" / "b.jpg", draw(53))
    put(tree.path / "disk" / "inbox3" / "b.jpg", draw(53))
    done = tree.run(haystack=("haystack", "disk/library"), needles="disk")
    assert done.printed == ["inbox2", "inbox3", "library"]
    assert tree.run(haystack=("haystack", "disk", "disk/library"), needles="disk").printed == [
        "inbox2", "inbox3", "library",
    ]  # fmt: skip


@pytest.mark.skipif(not linux, reason="mounts as Linux does")
def test_one_disk_mounted_twice_is_one_disk(tree):
    put(tree.path / "old" / "x" / "a.jpg", draw(54))
    put(tree.path / "old" / "y" / "a.jpg", draw(54))
    put(tree.path / "old" / "y" / "a.mov", b"film" * 1000)
    (tree.path / "again").mkdir()
    arguments = ["-a", "haystack", "again", "-n", "old"]
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        os.rmdir(tree.path / "again")  # no mounts here: the same folder by a link
        os.symlink("old", tree.path / "again")
        done = subprocess.run(command(*arguments), cwd=tree.path, capture_output=True, text=True)
    else:
        script = 'mount --bind old again && exec "$@"'
        mounted = ["unshare", "-m", "sh", "-c", script, "sh", *command(*arguments)]
        done = subprocess.run(mounted, cwd=tree.path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("directories...\n[INFO] x\n[INFO] y\n")
    assert done.stderr == ""


@pytest.mark.parametrize("where", ["haystack", "haystack/import"])
def test_many_identical_files_take_linear_time(tree, where):
    """Measured in calls of functions, as the interpreter counts them, not in seconds."""
    looks = []
    for number in (300, 1200):
        content = encode(draw(55, 64, 48))
        for count in range(number):
            put(tree.path / "haystack" / "import" / f"{count}.jpg", content)
            put(tree.path / "haystack" / "import" / f"{count}.mov", b"film" * 100)
        tree.run("--cache", "cache", needles=where)  # from now on nothing is decoded
        profile = (
            "import collections, runpy, sys; calls = collections.Counter();"
            "sys.setprofile(lambda frame, event, _: calls.update([event]));"
            "sys.argv = sys.argv[1:]\n"
            "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
            "finally: sys.setprofile(None); print(calls.total())"
        )
        arguments = [sys.executable, "-c", profile, SCRIPT, "-a", "haystack", "-n", where]
        done = subprocess.run(
            [*arguments, "--cache", "cache", "--jobs", "1"],
            cwd=tree.path,
            capture_output=True,
            text=True,
            check=True,
        )
        looks.append(int(done.stdout.splitlines()[-1]))
    assert looks[1] < 6 * looks[0]


@pytest.mark.skipif(os.name == "nt", reason="names as Linux allows them")
def test_no_line_of_the_list_is_a_comment_or_an_option(tree):
    for number, name in enumerate(("#recycle", ";old", "-n", "plain")):
        put(tree.path / name / "x" / "a.jpg", draw(60 + number))
        tree.run("--report", "missing.txt", needles=f"./{name}")
        assert (tree.path / "missing.txt").read_text() == f"./{name}/x/a.jpg\n"
        if name == "-n":
            continue
        tree.run("--report", "missing.txt", needles=name)
        expected = f"{name}/x/a.jpg\n" if name == "plain" else f"./{name}/x/a.jpg\n"
        assert (tree.path / "missing.txt").read_text() == expected
        readme = (TOP / "README.md").read_text()
        (line,) = (line for line in readme.splitlines() if line.startswith("while IFS= read -r"))
        subprocess.run(["sh", "-c", line], cwd=tree.path, check=True)
        assert (tree.path / "to-import" / name / "x" / "a.jpg").is_file()


def test_a_scheduler_that_dies_ends_the_run(tree):
    from distributed import LocalCluster

    picture = encode(draw(1, 2400, 1800), ".png")
    for count in range(200):
        put(tree.path / "haystack" / f"{count:03}.png", picture)
    starter = (
        "import sys, time\n"
        "from distributed import LocalCluster\n"
        "if __name__ == '__main__':\n"
        "    cluster = LocalCluster(n_workers=int(sys.argv[1]), threads_per_worker=1,\n"
        "                           processes=True, dashboard_address=None)\n"
        "    print(cluster.scheduler_address, flush=True)\n"
        "    time.sleep(300)\n"
    )
    put(tree.path / "cluster.py", starter.encode())
    arguments = [sys.executable, tree.path / "cluster.py", "1"]
    cluster = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    address = cluster.stdout.readline().strip()
    run = subprocess.Popen(
        command("-a", "haystack", "-n", "needles", "--dask", address, "--cache", "cache"),
        cwd=tree.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    cache = tree.path / "cache"
    while run.poll() is None and not (cache.exists() and cache.stat().st_size and rows(cache)):
        time.sleep(0.05)
    before = len(rows(cache))
    os.kill(cluster.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    out, err = run.communicate(timeout=30)
    cluster.wait()
    assert run.returncode == 2 and "processed" not in out
    assert err == f"[ERROR] the Dask scheduler at {address} is gone\n"
    assert 0 < before <= len(rows(cache)) < 208
    for path in sorted((tree.path / "haystack").glob("*.png"))[20:]:
        path.unlink()
    # no workers: that is told, and the run goes on when one comes
    with LocalCluster(n_workers=0, processes=True, dashboard_address=None) as waiting:
        timer = threading.Timer(13, waiting.scale, [1])
        timer.start()
        done = tree.run("--dask", waiting.scheduler_address)
        timer.join()
    assert done.status == 0 and "processed 28 images" in done.out
    told = f"[WARN] waiting for a worker of the Dask scheduler at {waiting.scheduler_address}\n"
    assert done.err == told + "[WARN] needles: no photographs and no films\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has shorter paths")
def test_a_tree_of_1500_levels_is_walked(tree):
    here = os.getcwd()
    try:
        os.chdir(tree.needles)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        pathlib.Path("a.jpg").write_bytes(encode(draw(1)))
        pathlib.Path("b.jpg").write_bytes(encode(draw(70)))
    finally:
        os.chdir(here)
    try:
        done = tree.run("--report", "table.csv")
    finally:  # for Python's own rmtree it is too deep
        subprocess.run(["rm", "-rf", tree.needles / "d"], check=True)
    name = os.path.join(*["d"] * 1500)
    assert done.status == 0 and done.err == f"[WARN] {name}: 1 of 2 found\n"
    assert [row["status"] for row in table(tree.path / "table.csv")] == ["found", "missing"]


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lose_only_what_nobody_reads(tree, closed):
    put(tree.needles / "x" / "broken.jpg", b"broken")
    put(tree.needles / "x" / "claims.png", png_that_claims(60000, 60000))
    put(tree.needles / "y" / "1.jpg", encode(draw(1)))
    line = f'exec "$@" {closed}'
    arguments = ["sh", "-c", line, "sh", *command("-a", "haystack", "-n", "needles")]
    arguments += ["--report", "table.csv", "--cache", "cache"]
    done = subprocess.run(arguments, cwd=tree.path, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert ("directories...\n[INFO] x\n" in done.stdout) == (">&-" not in closed.split())
    assert ("cannot read" in done.stderr) == ("2>&-" not in closed)
    rows = table(tree.path / "table.csv")
    assert [row["status"] for row in rows] == ["unreadable", "unreadable", "found"]


@pytest.mark.parametrize("value", ["1e9", "abc", "-1", "", "0", "1.5", "9" * 40])
def test_a_limit_that_is_no_number_ends_with_one_line(tree, value):
    done = tree.run(env={**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": value})
    assert (done.status, done.out) == (2, "") and done.err.count("\n") == 1
    assert done.err.startswith("[ERROR] OPENCV_IO_MAX_IMAGE_PIXELS must be a number, not ")


def test_a_limit_that_is_a_number_holds(tree):
    put(tree.needles / "x" / "1.jpg", encode(draw(1)))
    done = tree.run(env={**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": "1000"})
    assert done.printed == [] and done.err.count("it has more than 1000 pixels") == 9


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no file's size")
def test_a_report_that_cannot_be_written_is_named_and_the_others_are_written(tree):
    for number in range(40):
        put(tree.needles / "found" / f"{number}.jpg", encode(draw(1)))
    put(tree.needles / "x" / "a.jpg", draw(71))

    def full_disk():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    reports = ("--report", "page.html", "--report", "list.txt")
    done = tree.run(*reports, preexec_fn=full_disk)
    assert done.status == 2 and done.printed == ["x"]
    assert done.err == (
        "[WARN] cannot write page.html: File too large\n[ERROR] not every report was written\n"
    )
    assert (tree.path / "list.txt").read_text() == os.path.join("needles", "x", "a.jpg\n")
    assert sorted(path.name for path in tree.path.iterdir()) == ["haystack", "list.txt", "needles"]


@pytest.mark.skipif(os.name == "nt", reason="links want rights there")
def test_a_report_through_a_link_writes_its_target(tree):
    put(tree.needles / "x" / "a.jpg", draw(72))
    put(tree.path / "elsewhere" / "real.txt", b"old")
    os.symlink("elsewhere/real.txt", tree.path / "list.txt")
    assert tree.run("--report", "list.txt").status == 0
    assert (tree.path / "list.txt").is_symlink()
    assert (tree.path / "elsewhere" / "real.txt").read_text() == "needles/x/a.jpg\n"


def test_a_cache_wants_a_name(tree):
    done = tree.run("--cache", "")
    assert (done.status, done.out) == (2, "") and done.err.count("\n") == 1
