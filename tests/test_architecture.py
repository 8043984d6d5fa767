"""The house rules of the design that can be read off the source: who imports whom, what is public, what is small."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import sconv
from sconv.config import CONF

PACKAGE = Path(sconv.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Rooms, from the door to the cellar; a package is one room. A room imports from the rows below its own only.
HOUSE = (
    ("__main__",),
    ("training", "complaints"),
    ("range_tests", "evaluation"),
    ("assembly", "fitting"),
    ("lr_finder", "progress", "sweeps", "leftovers"),
    ("callbacks", "feeding", "snapshots", "readings"),
    ("recording", "parameter_groups", "report", "suggestions", "contracts", "run_models"),
    ("optimizers", "runs", "plots", "config", "smoothing", "callables", "targets", "augmentation", "acceleration"),
    ("schedules", "datasets", "models", "launchers", "devices", "limits", "keras_internals"),
    ("checks",),
)
TASKS = {str(OmegaConf.load(path)._target_).removeprefix("sconv.").split(".")[0] for path in CONF.glob("task/*.yaml")}
FLOOR = {
    **dict.fromkeys(TASKS, 1),  # a new task takes no line here
    **{room: number for number, rooms in enumerate(HOUSE) for room in rooms},
}
# Beyond the floors: who these may look at, of all that is ours.
ONLY = {"report": {"runs", "plots", "checks"}, "schedules": {"checks"}, "datasets": {"checks"}, "models": {"checks"}}
LIGHT = (
    "sconv",
    "sconv.schedules",
    "sconv.runs",
    "sconv.plots",
    "sconv.config",
    "sconv.checks",
    "sconv.sweeps",
    "sconv.readings",
)
LONGEST = 220


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path, *, type_checking=False):
    """Full names of all that a file imports, also inside functions; without what only type checkers see."""
    parts = ["sconv", *path.relative_to(PACKAGE).with_suffix("").parts]
    package = parts[:-1]
    skipped = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if not type_checking and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {id(inside) for part in node.body for inside in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def our_rooms(path):
    """Rooms of ours that a file enters."""
    for name in imports(path, type_checking=True):
        head, *rest = name.split(".")
        if head == "sconv" and rest and rest[0] in FLOOR:
            yield rest[0]


def names(paths):
    return [str(path.relative_to(PACKAGE)) for path in paths]


def test_there_is_a_house_to_look_at():
    assert len(SOURCES) > 15
    assert set(our_rooms(PACKAGE / "callbacks.py")) >= {"checks", "optimizers", "schedules"}


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_imports_point_down(path):
    here = room(path)
    if here == "__init__":
        return
    assert here in FLOOR, f"say in HOUSE, and in the design, where {here} stands"
    others = set(our_rooms(path)) - {here}
    assert not {there for there in others if FLOOR[there] <= FLOOR[here]}
    assert others <= ONLY.get(here, others)


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_every_import_of_ours_has_a_room(path):
    ours = [name.split(".") for name in imports(path, type_checking=True) if name.split(".")[0] == "sconv"]
    assert all(len(parts) == 1 or parts[1] in FLOOR or hasattr(sconv, parts[1]) for parts in ours)


def sees_config(path):
    return any(re.match("hydra|omegaconf", name) for name in imports(path))


def test_only_the_command_line_and_the_tasks_see_a_config_object():
    seeing = {room(path) for path in SOURCES if sees_config(path)}
    told = {
        "__main__",
        "complaints",
        "config",
        "leftovers",
        "sweeps",
        "launchers",
        "assembly",
        "contracts",
        "callables",
        "targets",
        "run_models",
    }
    assert seeing <= told | TASKS
    assert seeing >= {"__main__", "training"}


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
    schedules = [f"sconv.schedules.{path.stem}" for path in PACKAGE.glob("schedules/[a-z]*.py")]
    report = ["sconv.report"] if (PACKAGE / "report").exists() else []
    ran = subprocess.run(
        [sys.executable, "-c", HEAVY, *LIGHT, *schedules, *report],
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
