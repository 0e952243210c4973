"""Threads, distance, cache and cluster: the same answers, sooner or nearer."""

import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from conftest import TOP, command, draw, encode, png_that_claims, put, untimed
from hash_and_search import photograph_hash


@pytest.fixture
def needles(tree):
    for seed in range(30):
        put(tree.needles / f"{seed % 11}" / f"{seed}.jpg", encode(draw(seed), quality=30))
    put(tree.needles / "broken" / "x.jpg", b"not an image")
    return tree


def test_jobs_change_nothing_but_the_time(needles):
    first = needles.run()
    assert first.printed
    for jobs in ("1", "3", "16"):
        done = needles.run("--jobs", jobs)
        assert (untimed(done.out), done.err) == (untimed(first.out), first.err)


def test_distance_is_the_number_of_bits_that_may_differ(tree):
    paths = {}
    for seed in range(40):
        path = tree.needles / f"{seed}" / "a.jpg"
        put(path, encode(draw(seed % 10), quality=4 + seed) if seed < 30 else encode(draw(seed)))
        paths[f"{seed}"] = str(path)
    haystack = [photograph_hash(encode(draw(seed)))[0] for seed in range(8)]
    needles = {
        name: photograph_hash(pathlib.Path(path).read_bytes())[0] for name, path in paths.items()
    }

    def is_alike(needle, other, distance):
        decided = (needle.hash ^ other.hash) & ~needle.undecided
        detail = (needle.detail ^ other.detail).bit_count()
        return decided.bit_count() <= distance and detail <= 18 + 10 * distance

    counts = set()
    for distance in (0, 1, 2, 5, 12, 25, 64):
        printed = tree.run("--distance", str(distance)).printed
        counts.add(len(printed))
        assert printed == sorted(
            name
            for name, needle in needles.items()
            if not any(is_alike(needle, other, distance) for other in haystack)
        )
    assert len(counts) > 3


def rows(cache):
    with sqlite3.connect(cache) as database:
        return dict(database.execute("SELECT path, fingerprint FROM fingerprints"))


def test_a_cache_answers_for_files_that_have_not_changed(needles):
    cold, cache = needles.run(), needles.path / "cache"
    for _ in range(2):
        done = needles.run("--cache", "cache")
        assert (untimed(done.out), done.err) == (untimed(cold.out), cold.err)
    kept = rows(cache)
    assert len(kept) == 38 and os.fsencode(needles.needles / "0" / "0.jpg") in kept
    # what the cache says counts, until the file's time changes
    with sqlite3.connect(cache) as database:
        database.execute("UPDATE fingerprints SET fingerprint = zeroblob(58)")
    assert needles.run("--cache", "cache").printed == ["broken"]
    for path in needles.needles.rglob("*.jpg"):
        os.utime(path, ns=(1, 1))
    everything = sorted({path.parent.name for path in needles.needles.rglob("*.jpg")})
    assert needles.run("--cache", "cache").printed == everything
    for path in needles.path.rglob("*.jpg"):
        os.utime(path, ns=(2, 2))
    assert untimed(needles.run("--cache", "cache").out) == untimed(cold.out)
    # the article's hashes are others
    article = needles.run("--article")
    assert untimed(needles.run("--article", "--cache", "cache").out) == untimed(article.out)
    assert untimed(needles.run("--cache", "cache").out) == untimed(cold.out)


@pytest.mark.parametrize("kind", ["text", "photograph", "database"])
def test_a_file_that_is_no_cache_of_ours_is_left_alone(tree, kind):
    cache = tree.path / "precious"
    if kind == "database":
        with sqlite3.connect(cache) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE hashes (path, hash)")
    else:
        cache.write_bytes(b"a diary" if kind == "text" else encode(draw(1)))
    before = cache.read_bytes()
    done = tree.run("--cache", "precious")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("[ERROR] cannot use the cache precious: ")
    assert done.err.count("\n") == 1 and cache.read_bytes() == before


def test_a_damaged_cache_ends_with_one_line(needles):
    needles.run("--cache", "cache")
    content = (needles.path / "cache").read_bytes()
    for damaged in (content[:5000], content[:4096] + b"x" * (len(content) - 4096)):
        (needles.path / "cache").write_bytes(damaged)
        done = needles.run("--cache", "cache")
        assert done.status == 2 and done.err.startswith("[ERROR] cannot ")
        assert done.err.count("\n") == 1 and "name a new file" in done.err


def test_an_empty_file_becomes_a_cache(tree):
    (tree.path / "cache").touch()
    assert tree.run("--cache", "cache").status == 0
    assert len(rows(tree.path / "cache")) == 8


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_killed_run_resumes(tree):
    picture = encode(draw(1, 1600, 1200), ".png")
    for count in range(120):
        put(tree.path / "haystack" / f"{count}.png", picture)
    put(tree.needles / "x" / "a.jpg", draw(50))
    cache = tree.path / "cache"
    arguments = command("-a", "haystack", "-n", "needles", "--cache", "cache", "--jobs", "1")
    run = subprocess.Popen(arguments, cwd=tree.path, stdout=subprocess.PIPE)
    while run.poll() is None and not (cache.exists() and cache.stat().st_size and rows(cache)):
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    out, _ = run.communicate()
    assert run.returncode == -signal.SIGKILL and b"processed" not in out
    kept = rows(cache)
    assert 0 < len(kept) < 128
    for path in kept:  # now nothing but the cache can answer for these
        info = os.stat(path)
        with open(path, "r+b") as file:
            file.write(b"\0" * 8)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    done = tree.run("--cache", "cache")
    assert (done.status, done.err) == (0, "") and "processed 128 images" in done.out
    assert done.printed == ["x"] and len(rows(cache)) == 129


def test_two_runs_share_a_cache(needles):
    arguments = command("-a", "haystack", "-n", "needles", "--cache", "cache")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(arguments, cwd=needles.path, **pipes) for _ in range(2)]
    expected = needles.run()
    for run in both:
        out, err = run.communicate()
        assert (run.returncode, untimed(out), err) == (0, untimed(expected.out), expected.err)
    assert len(rows(needles.path / "cache")) == 38


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_progress_on_a_terminal_and_only_there(tree):
    picture = encode(draw(1, 2000, 1500), ".png")
    for count in range(60):
        put(tree.path / "haystack" / f"{count:02}.png", picture)
    put(tree.path / "haystack" / "30a.png", b"broken")
    ours, theirs = os.openpty()
    arguments = command("-a", "haystack", "-n", "needles", "--jobs", "1")
    run = subprocess.Popen(arguments, cwd=tree.path, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 4096):
            shown += block
    except OSError:  # how Linux says that the other end is closed
        pass
    run.communicate()
    parts = [part.strip() for part in shown.decode().replace("\n", "\r").split("\r")]
    progress = [part for part in parts if part.startswith("[INFO]")]
    assert len(progress) > 2
    assert all(" of 69 images, " in part and part.endswith(" s left") for part in progress)
    assert (
        "[WARN] cannot read haystack/30a.png: not an image that OpenCV can decode, "
        in shown.decode()
    )
    assert parts[-1] in ("", "[WARN] needles: no photographs and no films")
    assert "[INFO]" not in tree.run().err


def test_dask_is_missing_or_does_not_answer(tree):
    (tree.path / "without").mkdir()
    (tree.path / "without" / "distributed.py").write_text("raise ImportError('no distributed')")
    without = {**os.environ, "PYTHONPATH": str(tree.path / "without")}
    done = tree.run("--dask", "tcp://127.0.0.1:9", env=without)
    assert (done.status, done.out) == (2, "") and done.err.count("\n") == 1
    assert "pip install distributed" in done.err
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        done = tree.run("--dask", address)
        assert (done.status, done.out) == (2, "") and done.err.count("\n") == 1
        assert "no Dask scheduler answers at " + address in done.err


def test_a_cluster_one_of_whose_workers_dies(needles):
    from distributed import Client, LocalCluster

    for count in range(150):
        put(needles.path / "haystack" / f"{count}.png", draw(count + 200, 1200, 900))
    expected = needles.run()
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        arguments = command(
            "-a", "haystack", "-n", "needles", "--dask", cluster.scheduler_address,
            "--cache", "cache",
        )  # fmt: skip
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        run = subprocess.Popen(arguments, cwd=needles.path, **pipes)
        workers = client.run(os.getpid)
        while run.poll() is None and not any(client.has_what().values()):
            time.sleep(0.05)
        os.kill(next(iter(workers.values())), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        out, err = run.communicate(timeout=300)
        assert run.returncode == 0 and client.run(os.getpid) != workers
    assert (untimed(out), err) == (untimed(expected.out), expected.err)
    assert untimed(needles.run("--cache", "cache").out) == untimed(out)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's count of memory")
def test_a_worker_decodes_one_large_picture_at_a_time(tree):
    from distributed import Client, LocalCluster

    for number in range(32):  # four tasks, each with a picture of 144 megapixels
        large = number % 8 == 0
        put(
            tree.path / "mixed" / f"{number:02}.png",
            png_that_claims(12000, 12000) if large else draw(number),
        )
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=4, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        done = tree.run("--dask", cluster.scheduler_address, haystack=("mixed",))
        (status,) = client.run(lambda: pathlib.Path("/proc/self/status").read_text()).values()
    assert done.status == 0 and "processed 28 images" in done.out
    assert done.err.count("too large for a closer look") == 4
    peak = int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 2**20
    assert 0.5 < peak < 1.5


def test_the_benchmark_runs(tmp_path):
    for seed in range(6):
        put(tmp_path / "photos" / f"{seed}.jpg", draw(seed, 640, 480))
    done = subprocess.run(
        [
            sys.executable,
            TOP / "tests" / "benchmark.py",
            "--quick",
            "--photos",
            tmp_path / "photos",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "| the article's pipeline |" in done.stdout and "| mean |" in done.stdout
    assert shutil.which("djpeg") or "not installed" in done.stdout
