"""The house rules of the design that can be read off the source: who imports whom, what is public, what is small."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sconv
from sconv.runner.config.schema import CONF

PACKAGE = Path(sconv.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Who may import whom, of all that is ours. A room is a folder or a file at the top; nothing leads back up.
LIBRARY = {
    "checks": set(),
    "schedules": {"checks"},
    "plots": {"checks"},
    "datasets": {"checks"},
    "models": {"checks"},
    "training": {"checks", "schedules", "plots", "datasets"},
    "lr_finder": {"checks", "schedules", "plots", "datasets", "training"},
    "fit": {"checks", "schedules", "datasets", "training", "lr_finder"},
    "fine_tuning": {"checks", "schedules", "training", "fit"},
}
FRAMEWORK = {
    "output": set(),
    "runs": {"checks"},
    "report": {"checks", "output", "plots", "runs"},
    "runner": {*LIBRARY, "output", "runs"},
    "__main__": {"runner"},
}
HOUSE = {**LIBRARY, **FRAMEWORK}
LIGHT = (
    "sconv",
    "sconv.checks",
    "sconv.plots",
    "sconv.runs",
    "sconv.report",
    "sconv.lr_finder.result",
    "sconv.runner.cli",
)
LONGEST = 220


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path, *, type_checking=True):
    """Full names of all that a file imports, also inside functions."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if not type_checking and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {id(inside) for part in node.body for inside in ast.walk(part)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in skipped:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and id(node) not in skipped:
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def names(paths):
    return [str(path.relative_to(PACKAGE)) for path in paths]


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_a_room_imports_from_its_own_list(path):
    here = room(path)
    if here == "__init__":
        return
    ours = [name.split(".") for name in imports(path) if name.split(".")[0] == "sconv"]
    others = {parts[1] for parts in ours if len(parts) > 1} - {here, "__version__"}
    assert others <= HOUSE[here]


def test_no_circle_of_files():
    files = {".".join(("sconv", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in SOURCES}
    graph = {
        module: {
            found
            for name in imports(path, type_checking=False)
            for found in (name, name.rpartition(".")[0])
            if found in files and found != module
        }
        for module, path in files.items()
    }
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(files) > 60


def test_the_page_on_the_house_has_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text()
    told = set(re.findall(r"^\*\*(\w+)\*\* ", page, re.MULTILINE))
    assert told == HOUSE.keys() - {"__main__"}
    for path in re.findall(r"`([a-z_]+/[\w/]+\.py)`", page):
        assert (PACKAGE / path).is_file() or (ROOT / path).is_file(), path


def test_hydra_is_known_to_the_runner_alone():
    seeing = {room(path) for path in SOURCES if sees_config(path)}
    assert seeing == {"runner"}


def sees_config(path):
    return any(re.match("hydra|omegaconf", name) for name in imports(path))


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_nothing_is_looked_up_by_a_name_from_the_config(path):
    """No default hidden in a cfg.get, no getattr with a name that only the config knows: _target_ is the registry."""
    past_runs = room(path) == "report"  # their configurations are plain mappings, of other versions too
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert past_runs or not re.match(r"(cfg|config|self\.cfg)\b.*\.get$", called), ast.unparse(node)
        if called in ("getattr", "globals", "importlib.import_module", "eval", "exec"):
            by_name = called != "getattr" or not isinstance(node.args[1], ast.Constant)
            mentions = re.search(r"\bcfg\b|\bconfig\b", ast.unparse(node))
            assert not (by_name and (sees_config(path) or mentions)), ast.unparse(node)


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_source_is_small_and_says_what_it_is(path):
    text = path.read_text()
    length = len(text.splitlines())
    assert length <= LONGEST
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    public = [
        node
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


def test_option_files_are_small():
    assert {path.name: len(path.read_text().splitlines()) for path in CONF.glob("*/*.yaml")}
    longest = {"experiment": 35}  # whole recipes, whose headers say what they reproduce
    lengths = {path: len(path.read_text().splitlines()) for path in CONF.glob("*/*.yaml")}
    assert [path for path, length in lengths.items() if length > longest.get(path.parent.name, 25)] == []


HEAVY = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    heavy = {"keras", "tensorflow", "torch", "jax", "tensorboard"} & set(sys.modules)
    if heavy:
        sys.exit(f"{name} imports {sorted(heavy)}")
print("light")
"""


def test_what_must_be_light_imports_no_framework(environment):
    names = {path.stem for path in PACKAGE.glob("schedules/[a-z]*.py")}
    schedules = [f"sconv.schedules.{name}" for name in sorted(names - {"keras_schedule"})]  # which is asked for
    ran = subprocess.run(
        [sys.executable, "-c", HEAVY, *LIGHT, *schedules],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert (ran.stdout.strip(), ran.stderr) == ("light", "")


def test_public_names():
    assert {"attach", "detach", "schedules", "OneCycleScheduler", "ScheduleCallback"} <= set(sconv.__all__)
    seen_by_type_checkers = re.findall(r"import (\w+) as \1$", Path(sconv.__file__).read_text(), re.MULTILINE)
    assert sorted(seen_by_type_checkers) == sorted(sconv.__all__)
    for name in sconv.__all__:
        assert getattr(sconv, name) is not None
    assert set(sconv.__all__) <= set(dir(sconv))
    with pytest.raises(AttributeError, match="onecycle_schedular"):
        _ = sconv.onecycle_schedular


def tracked_files():
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git checkout")
    paths = [ROOT / line for line in listed.splitlines()]
    return [path for path in paths if path.suffix not in (".png", ".keras", ".gz") and path.is_file()]


def test_nothing_names_the_machine_it_was_written_on():
    # In pieces, for this file is tracked too.
    local = "|".join(["/wo" + "rk/", "/tmp" + "/w/", "/ho" + "me/", "/ro" + "ot/", "/Us" + "ers/", r"[A-Z]:\\Users"])
    host = "|".join(["index" + "-url", "pypi" + r"\.(?!org/project)", "python" + "hosted", "artif" + "actory"])
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if re.search(f"{local}|{host}", line)
    ]
    assert found == []
