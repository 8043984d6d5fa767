"""Run folders of strangers in a report: what is broken is left out in one line, what is odd is shown as it is."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import subprocess

import pytest
import yaml

import fabricate
from hostile import alarm
from sconv.report.__main__ import main

DIGITS = "1" * 401
PATIENCE = 120  # seconds for all folders, which takes two


def changed(**fields):
    """Put these into the summary; in words of JSON where they are given as bytes."""

    def change(run):
        path = run / "summary.json"
        summary = {**json.loads(path.read_text()), **{name: f"<{name}>" for name in fields}}
        text = json.dumps(summary)
        for name, value in fields.items():
            text = text.replace(json.dumps(f"<{name}>"), value.decode() if type(value) is bytes else json.dumps(value))
        path.write_text(text)

    return change


def status(word, **fields):
    return changed(status=word, **fields)


def written(name, content):
    def write(run):
        (run / name).unlink()
        (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def added(line):
    """Append to the configuration."""
    return lambda run: written(".hydra/config.yaml", (run / ".hydra/config.yaml").read_text() + line)(run)


def replaced(name, make):
    def replace(run):
        (run / name).unlink()
        make(run / name)

    return replace


def cell(column, value):
    """Put this into the last row of epochs.csv."""

    def write(run):
        rows = list(csv.reader((run / "epochs.csv").read_text().splitlines()))
        rows[-1][rows[0].index(column)] = value
        (run / "epochs.csv").write_text("".join(",".join(row) + "\n" for row in rows))

    return write


def bomb(levels=9):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


BROKEN = {
    "summary is a pipe": (replaced("summary.json", os.mkfifo), "summary.json: no regular file"),
    "configuration is a pipe": (replaced(".hydra/config.yaml", os.mkfifo), "config.yaml: no regular file"),
    "options are a pipe": (replaced(".hydra/hydra.yaml", os.mkfifo), "hydra.yaml: no regular file"),
    "epochs are a pipe": (replaced("epochs.csv", os.mkfifo), "epochs.csv: no regular file"),
    "summary is a device": (replaced("summary.json", lambda at: at.symlink_to("/dev/zero")), "no regular file"),
    "configuration is a device": (
        replaced(".hydra/config.yaml", lambda at: at.symlink_to("/dev/zero")),
        "no regular file",
    ),
    "epochs are a device": (replaced("epochs.csv", lambda at: at.symlink_to("/dev/zero")), "no regular file"),
    "summary is a link to itself": (replaced("summary.json", lambda at: at.symlink_to(at)), "summary.json: "),
    "summary is a folder": (replaced("summary.json", lambda at: at.mkdir()), "no regular file"),
    "summary is large": (written("summary.json", " " * (1 << 20) + "{}"), "larger than"),
    "configuration is large": (written(".hydra/config.yaml", "#" * (1 << 20) + "\na: b"), "larger than"),
    "epochs are large": (
        replaced("epochs.csv", lambda at: at.touch() or os.truncate(at, 1 << 34)),
        "epochs.csv: larger than",
    ),
    "summary is deep": (written("summary.json", "[" * 200_000 + "]" * 200_000), "summary.json: not JSON"),
    "summary is fairly deep": (changed(test={"a": json.loads("[" * 60 + "]" * 60)}), "nested too deeply"),
    "configuration is deep": (written(".hydra/config.yaml", "a: " + "[" * 900 + "]" * 900), "nested too deeply"),
    "configuration is very deep": (written(".hydra/config.yaml", "a: " + "{b: " * 100_000), "config.yaml: "),
    "configuration is a bomb": (written(".hydra/config.yaml", bomb()), "config.yaml: holds an alias"),
    "options are a bomb": (written(".hydra/hydra.yaml", bomb()), "hydra.yaml: holds an alias"),
    "configuration is itself": (added("own: &own\n  own: *own\n"), "holds an alias"),
    "configuration has many values": (written(".hydra/config.yaml", "a: [" + "x," * 200_000 + "]"), "too long"),
    "configuration calls": (added("own: !!python/object/apply:os.getpid []\n"), "config.yaml: not YAML"),
    "configuration has a set": (added("own: !!set {a, b}\n"), "a set, which is no plain value"),
    "configuration has bytes": (added("own: !!binary aGVsbG8=\n"), "a bytes, which is no plain value"),
    "configuration has a day that is none": (added("own: 2020-99-99\n"), "not YAML"),
    "configuration has a long number": (added(f"own: {DIGITS}\n"), "a number of 1329 bits"),
    "configuration has a longer number": (added(f"own: 0x{'f' * 9000}\n"), "a number of 36000 bits"),
    "configuration has a number in sixties": (added(f"own: 1{':59' * 300_000}\n"), "too long"),
    "configuration has a fraction in sixties": (added(f"own: 1{':59' * 900}.5\n"), "not YAML"),
    "configuration has a seed that is a list": (added("seed: [1, 2]\n"), "seed is [1, 2]"),
    "configuration is a list": (written(".hydra/config.yaml", "[1, 2]"), "no mapping"),
    "configuration is no text": (written(".hydra/config.yaml", b"\xff\xfe\x00"), "no text"),
    "summary is no text": (written("summary.json", b"\xff\xfe\x00"), "no text"),
    "summary is a list": (written("summary.json", "[]"), "no mapping"),
    "options are a list": (written(".hydra/hydra.yaml", "hydra: {runtime: {choices: [a]}}"), "names no options"),
    "status is a list": (changed(status=["finished"]), "no status"),
    "steps has 401 digits": (changed(steps=DIGITS.encode()), "summary.json: a number of 1329 bits"),
    "steps has 5001 digits": (changed(steps=b"1" * 5001), "summary.json: not JSON"),
    "steps is infinite": (changed(steps=b"1e999"), "steps is None"),
    "accuracy has 401 digits": (changed(test={"accuracy": 0.5, "loss": 10**400}), "a number of 1329 bits"),
    "accuracy is a list": (changed(test={"accuracy": [0.5]}), "test is {'accuracy': [0.5]}"),
    "accuracy is beyond 1": (changed(test={"accuracy": 1e30}), "without a test accuracy"),
    "accuracy is true": (changed(test={"accuracy": True}), "test is {'accuracy': True}"),
    "seed is a list": (changed(seed=[1, 2]), "seed is [1, 2]"),
    "seconds is a list": (changed(seconds=[1, 2]), "seconds is [1, 2]"),
    "seconds of a run that diverged": (status("diverged", seconds="many"), "seconds is 'many'"),
    "final of a run that diverged": (status("diverged", final=[1]), "final is [1]"),
    "best of a run that runs": (status("running", best=3), "best is 3"),
    "final of a run that runs": (status("running", final={"val_accuracy": "high"}), "final is"),
    "test of a run that failed": (status("failed", test=[0.5]), "test is [0.5]"),
    "process of a run that runs": (status("running", process={"pid": 10**12, "host": "here"}), "process is"),
    "monitored is a list": (changed(monitored=["test"]), "monitored is ['test']"),
    "started is a number": (changed(started=5), "started is 5"),
    "a cell of 200,000 characters": (cell("loss", "1" * 200_000), "epochs.csv: "),
    "a cell of 401 digits": (cell("val_accuracy", DIGITS), "epochs are missing"),
    "a cell that is infinite": (cell("loss", "inf"), "epochs are missing"),
    "a cell of a text": (cell("loss", "=1"), "could not convert"),
    "a cell with a nought": (cell("loss", "\0"), "epochs.csv: "),
    "epochs are no text": (written("epochs.csv", b"\xff\xfe\x00"), "no text"),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """What a report says of a good run among all the broken ones: its exit code, the table, the notes by folder."""
    root = tmp_path_factory.mktemp("broken")
    fabricate.run(root / "good", [0.5, 0.6], seed=99)
    for number, (spoil, _) in enumerate(BROKEN.values()):
        spoil(fabricate.run(root / str(number), [0.5, 0.6], seed=number))
    out, err = io.StringIO(), io.StringIO()
    redirected = (contextlib.redirect_stdout(out), contextlib.redirect_stderr(err))
    with alarm(PATIENCE), deep_folder(root / "good", 1500), redirected[0], redirected[1]:
        code = main(["--list", str(root)])
        assert main(["--no-files", str(root)]) == 0
    notes = [line.removeprefix(f"left out: {root}/").partition(": ") for line in err.getvalue().splitlines()]
    return code, out.getvalue(), {name: said for name, _, said in notes}


@contextlib.contextmanager
def deep_folder(top, levels):
    """Folders within each other, deeper than a recursion goes; gone before pytest tidies up by one."""
    here = os.open(top, os.O_RDONLY)
    try:
        for _ in range(levels):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        yield
    finally:
        os.close(here)
        subprocess.run(["rm", "-rf", top / "d"], check=True)


def test_a_good_run_is_shown_whatever_lies_beside_it(broken):
    code, out, notes = broken
    assert code == 0
    assert out.splitlines()[2].split()[1:3] == ["finished", "60.00"]
    assert len(notes) == len(BROKEN)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_left_out_in_one_line(broken, name):
    number = str([*BROKEN].index(name))
    assert BROKEN[name][1] in broken[2][number]
    assert len(broken[2][number]) < 200


NASTY = "[/a][bold]\x1b[2J\u202eevil</script><img src=x onerror=alert(1)>|$\\frac$`"


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """What is said of runs that are whole, and full of what others might interpret; with the files of their report."""
    root = tmp_path_factory.mktemp("odd")
    name = NASTY.replace("/", "\\")
    options = ("=HYPERLINK(A1)", "+1", "@SUM(A1)", "-2", NASTY, " ", "_", "x" * 5000)
    for number, option in enumerate(options):
        settings = {"optimizer.momentum": NASTY, "optimizer.learning_rate": [{"a": number} for number in range(2000)]}
        run = fabricate.run(root / f"{name}{number}", [0.5, 0.6], choices={"schedule": option}, settings=settings)
        added(yaml.safe_dump({NASTY: number}))(run)
        changed(class_names=[NASTY, "b"], error=NASTY, started=NASTY)(run)
    (root / f"{name}broken").mkdir()
    (root / f"{name}broken" / "summary.json").touch()
    out, err = io.StringIO(), io.StringIO()
    with alarm(PATIENCE), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main([str(root), "--out", str(root / "out")]) == 0
        assert main(["--list", str(root)]) == 0
        assert main(["--compare", *(str(root / f"{name}{number}") for number in (0, 1))]) == 0
        assert main(["--compare", str(root / f"{name}broken"), str(root / f"{name}0")]) == 2
    return out.getvalue() + err.getvalue(), {path.suffix: path for path in (root / "out").iterdir()}


def test_a_terminal_shows_names_and_obeys_none(odd):
    said, _ = odd
    assert {sign for sign in said if not sign.isprintable()} == {"\n"}
    assert "[/a][bold]\\x1b[2J\\u202eevil" in said
    assert "left out: " in said


def test_a_spreadsheet_finds_no_formula(odd):
    with open(odd[1][".csv"], newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert {cell for cell in cells if cell.startswith(("=", "+", "@"))} == set()
    assert any(cell.startswith("'=HYPERLINK(A1)") for cell in cells)


def test_markdown_and_the_page_hold_no_markup_of_a_name(odd):
    for kind in (".md", ".html"):
        text = odd[1][kind].read_text()
        assert "<img src=x" not in text.replace("\\<", "")
        assert "evil" in text
        assert {sign for sign in text if not sign.isprintable()} == {"\n"}
    page = odd[1][".html"].read_text()
    policy = page.partition("Content-Security-Policy")[2].partition(">")[0]
    assert "script-src 'sha256-" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
