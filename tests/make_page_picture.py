"""Take the README's picture of the HTML report on the sample: tests/page.png.

    python tests/make_page_picture.py

Wants Chromium.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
SWITCHES = """--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run
--disable-background-networking --allow-file-access-from-files --window-size=1200,1125""".split()


def main():
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        sys.exit("Chromium is not installed")
    with tempfile.TemporaryDirectory() as scratch:
        page = pathlib.Path(scratch) / "page.html"
        script = "hash_and_search.py"
        call = [sys.executable, script, "--haystack", "haystack", "--needles", "needles"]
        subprocess.run([*call, "--report", page], cwd=TOP, check=True)
        text = page.read_text(encoding="utf-8").replace(str(page), "page.html")
        text = text.replace(f"<code>{TOP}", "<code>/home/ada")  # shown so, not linked
        page.write_text(text, encoding="utf-8")
        picture = f"--screenshot={TOP / 'tests' / 'page.png'}"
        profile = f"--user-data-dir={scratch}/profile"
        subprocess.run([chromium, *SWITCHES, profile, picture, page.as_uri()], check=True)


if __name__ == "__main__":
    main()
