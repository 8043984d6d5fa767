"""The pages: every command and code block in them does what the page says, and no link leads nowhere."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sconv
from sconv import datasets, schedules

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
PATIENCE = 600
SMALL = 1_000_000
COMMANDS = ("python -m ", "sconv ", "tensorboard ", "eval ")

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="no checkout")


@dataclass(frozen=True)
class Block:
    """A fenced block, with the comment before it that says how it is tested: `<!-- test: how -->`."""

    language: str
    body: str
    how: str
    line: int


def blocks(page):
    pattern = r"(?:<!-- (?:test|command): ([^\n]*?) -->\n)?```(\w*)\n(.*?)\n```$"
    text = page.read_text()
    for found in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
        how, language, body = found.groups()
        yield Block(language, body, how or "", text[: found.start(2)].count("\n") + 1)


def commands(block):
    """The commands of a block without their trailing comments, and with what the test appends."""
    extra = block.how.removeprefix("append ") if block.how.startswith("append ") else ""
    for line in block.body.splitlines():
        line = line.removeprefix("$ ")
        if line.startswith(COMMANDS):
            # TensorBoard would serve until it is killed; so it reads what is there, and ends.
            yield f"{line.split('  #')[0].strip()} {'--inspect' if line.startswith('tensorboard') else extra}".strip()


def case(command, folder):
    """A command as a case for tests/commands.py; its arguments, or the shell's line where it is none of ours."""
    words = shlex.split(command)
    ours = words[:3] == ["python", "-m", "sconv"]
    if ours or words[0] == "sconv":
        return {"folder": str(folder), "arguments": words[3 if ours else 1 :]}
    return {"folder": str(folder), "shell": command}


def steps(page, folder):
    """What to do for a page: pairs of a block and a case; blocks that are files are written on the way."""
    text = [block for block in blocks(page) if block.language == "text"]
    for block in blocks(page):
        if block.how.startswith("file "):
            path = folder / block.how.removeprefix("file ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body + "\n")
        elif block.language == "python":
            yield block, {"folder": str(folder), "python": block.body}
        elif block.how in ("train", "tests"):
            pass  # the two commands of the README: .ci/run carries them out
        elif block.language in ("", "sh", "console"):
            for command in commands(block):
                yield block, case(command, folder)
        else:
            assert block.language in ("yaml", "text", "math"), f"{page.name}:{block.line}"
    assert len(text) == sum(block.how in ("a warning", "an error") for block in blocks(page))


def carry_out(cases, environment):
    command = [sys.executable, str(TESTS / "commands.py")]
    settings = {**environment, "CUDA_VISIBLE_DEVICES": "-1", "MPLBACKEND": "Agg"}
    ran = subprocess.run(
        command, input=json.dumps(cases), env=settings, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def as_said(expected, said):
    """Whether a text is what the page shows, in which three dots stand for anything."""
    pattern = ".*".join(map(re.escape, expected.split("...")))
    return re.fullmatch(pattern, said.strip(), re.DOTALL)


def prepare(folder):
    """What the pages take for granted: a file of one's own data, and some photographs."""
    random = np.random.default_rng(0)
    arrays = {f"x_{part}": random.integers(0, 256, (60, 28, 28, 1), dtype=np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": random.integers(0, 2, 60) for part in ("train", "test")}
    np.savez(folder / "mine.npz", **arrays, **labels)
    (folder / "photos").mkdir()
    for number, pixels in enumerate(arrays["x_test"][:3, ..., 0]):
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    # The gallery's commands are carried out where its pictures are made.
    [pytest.param(page, marks=[pytest.mark.long] if page.name == "gallery.md" else []) for page in PAGES],
    ids=lambda page: page.name,
)
def test_every_block_does_what_it_says(page, environment, tmp_path):
    prepare(tmp_path)
    doing = list(steps(page, tmp_path))
    lost = tmp_path / "lost" / "mlxtend"
    lost.mkdir(parents=True)
    (lost / "__init__.py").touch()
    for block, one in doing:
        if "lost" in block.how:
            one["folder"] = str(lost.parent)
    results = carry_out([one for _, one in doing], environment) if doing else []
    shown = iter([block.body for block in blocks(page) if block.language == "text"])
    said, expected = {}, {}
    for (block, one), result in zip(doing, results, strict=True):
        # So many models in one process make TensorFlow wonder.
        result["err"] = re.sub(r"\d+ out of the last .* retracing\..*\n", "", result["err"])
        where = f"{page.name}:{block.line}: {one}"
        if block.language == "console":
            said[block.line] = said.get(block.line, "") + "$\n" + result["out"] + result["err"]
            expected[block.line] = re.sub(r"^\$ .*", "$", block.body, flags=re.MULTILINE)
            assert result["code"] in (2, 3), where
        elif block.how in ("a warning", "an error"):
            assert as_said(next(shown), result["warnings" if block.how == "a warning" else "err"]), (where, result)
        else:
            assert (result["code"], result["err"], result.get("warnings", "")) == (0, "", ""), where
    for line, text in expected.items():
        assert as_said(text, said[line]), f"{page.name}:{line}\n{text}\n{said[line]}"


def test_there_is_something_to_test():
    found = {page.name: list(blocks(page)) for page in PAGES}
    assert sum(len(list(commands(block))) for page in found.values() for block in page) > 20
    assert len([block for block in found["troubleshooting.md"] if block.how in ("a warning", "an error")]) == 4
    assert len(re.findall(r"^## \d+\. ", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)) == 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readme_points_to_every_page():
    told = set(re.findall(r"\]\(docs/(\S+?\.md)\)", (ROOT / "README.md").read_text()))
    assert told == {page.name for page in PAGES if page.parent.name == "docs"}


def test_the_site_lists_every_page():
    """As mkdocs --strict says too, which few run by hand."""
    listed = set(re.findall(r"(?:docs|experiments)/\S+\.md", (ROOT / "mkdocs.yml").read_text()))
    pages = (*ROOT.glob("docs/*.md"), *ROOT.glob("experiments/*/*.md"))
    assert listed == {page.relative_to(ROOT).as_posix() for page in pages}


def test_the_gallery_shows_every_picture_and_each_is_of_something():
    folder, page = ROOT / "docs" / "gallery", (ROOT / "docs" / "gallery.md").read_text()
    shown = re.findall(r"^<!-- picture of: \S.* -->\n!\[.+\]\(gallery/(\S+)\)$", page, re.MULTILINE)
    assert len(shown) == page.count("![")
    assert sorted(shown) == sorted(path.name for path in folder.iterdir())
    assert sum(path.stat().st_size for path in folder.iterdir()) < SMALL
    loaded = [path.name for path in folder.glob("*.svg") if re.search(r"url\((?!#)|href=.http", path.read_text())]
    assert loaded == []


def test_the_api_page_has_the_public_names_and_no_other():
    listed = re.findall(r"^::: sconv\.(\S+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    rooms = [
        f"{room.__name__.removeprefix('sconv.')}.{name}" for room in (schedules, datasets) for name in room.__all__
    ]
    settings = "lr_finder.result.RangeTestSettings"  # what LRFinder takes
    assert sorted(listed) == sorted([*(set(sconv.__all__) - {"schedules"}), *rooms, settings])
