"""Carries out many command lines in one process: python commands.py < cases.json > results.json

A case is {"folder": where to stand, "arguments": [...], "environment": {...}}. Its result says how it ended, what it
said, what it left behind, and whether TensorFlow has been imported by then.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
from pathlib import Path

ENVIRONMENT = dict(os.environ)


def carry_out(case):
    from sconv import runs
    from sconv.__main__ import main

    folder = Path(case["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update({**ENVIRONMENT, **case.get("environment", {})})
    sys.argv = ["sconv", *case["arguments"]]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    sys.path.pop(0)
    return {
        "code": code,
        "out": out.getvalue(),
        "err": err.getvalue(),
        "statuses": [runs.read_summary(path)["status"] for path in runs.find(folder)],
        "models": [str(path) for path in folder.rglob("*.keras")],
        "tensorflow": "tensorflow" in sys.modules,
    }


if __name__ == "__main__":
    results = [carry_out(case) for case in json.load(sys.stdin)]
    json.dump(results, sys.stdout)
