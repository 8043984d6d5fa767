"""Make the gallery's pictures again: python docs/site/gallery.py

Carries out the commands of docs/gallery.md from top to bottom in an empty folder, and keeps what each picture there is
said to be of: a file, the terminal, or a page as Chromium shows it. Two minutes of computing; needs Chromium.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parents[1]
STEP = re.compile(
    r"^```(?P<language>\w*)\n(?P<body>.*?)\n```$|^<!-- picture of: (?P<source>.*?) -->\n!\[.*?\]\((?P<picture>.*?)\)",
    re.MULTILINE | re.DOTALL,
)
COLUMNS, COLOURS = 80, 64
# In colour, though nobody watches; what is drawn over as a run goes on is left out.
TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "truecolor", "TTY_INTERACTIVE": "0"}
SETTINGS = {**os.environ, **TERMINAL, "COLUMNS": str(COLUMNS), "MPLBACKEND": "Agg"}


def main() -> None:
    """Every step of the page in its order."""
    said = ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for step in STEP.finditer((DOCS / "gallery.md").read_text()):
            if step["body"]:
                said = carry_out(step["language"], step["body"], folder)
            else:
                print(step["picture"])
                keep(step["source"], said, folder, DOCS / step["picture"])


def carry_out(language: str, body: str, folder: Path) -> str:
    """What a block of the page says: a script in Python, else one command."""
    words = ["python", "-c", body] if language == "python" else shlex.split(body)
    print(f"$ {body}" if not language else "$ python ...", flush=True)
    command = [sys.executable, *words[1:]]
    ran = subprocess.run(command, cwd=folder, env=SETTINGS, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{body}\n{ran.stderr}")
    shown = body if language else f"$ {body}"
    return f"{shown}\n{ran.stdout.rstrip()}"


def keep(source: str, said: str, folder: Path, picture: Path) -> None:
    """Make a picture of a source, which is what was said, or the newest file that a pattern finds."""
    if source == "terminal":
        picture.write_text(terminal(said))
        return
    found = max(folder.glob(source), key=lambda path: path.stat().st_mtime)
    if found.suffix == ".html":
        shot = folder / "page.png"
        size = ["--window-size=1400,1000", f"--screenshot={shot}", "--hide-scrollbars", "--virtual-time-budget=8000"]
        chromium = shutil.which("chromium") or sys.exit("gallery: no chromium to show a page with")
        subprocess.run([chromium, "--headless", "--no-sandbox", *size, found.as_uri()], check=True, capture_output=True)
        found = shot
    picture.write_bytes(in_few_colours(found))


def terminal(said: str) -> str:
    """A screen as SVG, in the fonts that are there: Rich's own would be loaded from the network."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(re.sub(r"\x1b\[\?25[lh]", "", said)))
    form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="", code_format=form, unique_id="screen")


def in_few_colours(picture: Path) -> bytes:
    """A PNG picture at a third of its size."""
    file = io.BytesIO()
    with Image.open(picture) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    main()
