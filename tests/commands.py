"""Carries out many command lines in one process: python commands.py < cases.json > results.json

A case is {"folder": where to stand, "arguments": [...], "environment": {...}}, all but the folder optional. Its result
says how it ended, what it said, what it left behind, and whether TensorFlow has been imported by then. In place of
`arguments` a case may have `python`, code that sees the names of what ran before it, or `shell`, a line for bash.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

ENVIRONMENT = dict(os.environ)
NAMES = {"__name__": "page"}


def carry_out(case):
    from sconv import runs

    folder = Path(case["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update({**ENVIRONMENT, **case.get("environment", {})})
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    out, err, warned = io.StringIO(), io.StringIO(), []
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if "arguments" in case:
            code = command(case["arguments"])
        elif "python" in case:
            code = python(case["python"], warned)
        else:
            code = shell(case["shell"])
    sys.path.pop(0)
    sys.modules.pop("mlxtend", None)  # the next folder may hold another
    return {
        "code": code,
        "out": out.getvalue(),
        "err": err.getvalue(),
        "warnings": "\n".join(warned),
        "statuses": [runs.read_summary(path)["status"] for path in runs.find(folder)],
        "models": [str(path) for path in folder.rglob("*.keras")],
        "tensorflow": "tensorflow" in sys.modules,
    }


def command(arguments):
    from sconv.runner.cli import main

    sys.argv = ["sconv", *(str(last_sweep(one)) for one in arguments)]
    try:
        main()
    except SystemExit as ended:
        return ended.code
    return 0


def last_sweep(argument):
    """An argument that takes up a sweep, with the last one here in place of the one that was written down."""
    if not argument.startswith("resume_sweep=outputs/"):
        return argument
    return f"resume_sweep={max(Path('outputs/sweeps').glob('*/*'))}"


def python(code, warned):
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            exec(compile(code, "block", "exec"), NAMES)
        warned += [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
    except Exception as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def shell(line):
    """With `sconv` and what is installed beside this Python to be found; a failure shows all that was said."""
    shims = Path("shims").absolute()
    shims.mkdir(exist_ok=True)
    (shims / "sconv").write_text(f"#!{sys.executable}\nfrom sconv.runner.cli import main\nmain()\n")
    (shims / "sconv").chmod(0o755)
    places = {**os.environ, "PATH": f"{shims}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-c", line], env=places, capture_output=True, text=True)
    print(ran.stderr if ran.returncode else "", end="", file=sys.stderr)
    print(ran.stdout, end="")
    return ran.returncode


if __name__ == "__main__":
    # Worker processes of a sweep write past `carry_out`: to stderr, so that nothing is beside the results.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    json.dump([carry_out(case) for case in json.load(sys.stdin)], answers)
