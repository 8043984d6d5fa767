"""What is asked before anything is trained is answered without TensorFlow, which takes seconds to import."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from sconv.runner.config.schema import CONF

TESTS = Path(__file__).parent
PATIENCE = 300
HELP = OmegaConf.load(CONF / "hydra" / "help" / "sconv.yaml")
COMPLETION = {"COMP_LINE": "sconv schedule=one", "COMP_POINT": "18", "COMP_CWORD": "1"}
QUESTIONS = {
    "help": (["--help"], {}, "schedule=onecycle"),
    "configuration": (["--cfg", "job"], {}, "lr_max: 0.1"),
    "resolved": (["--cfg", "job", "--resolve"], {}, "learning_rate: 0.1"),
    "defaults": (["--info", "defaults"], {}, "schedule/onecycle_fastai"),
    "completion": (["-sc", "query=bash"], COMPLETION, "schedule=onecycle_fastai"),
    "installing it": (["-sc", "install=bash"], {}, "complete -o nospace"),
    "Hydra's help": (["--hydra-help"], {}, "--multirun"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory, environment):
    root = tmp_path_factory.mktemp("questions")
    cases = [
        {"folder": str(root / name), "arguments": arguments, "environment": extra}
        for name, (arguments, extra, _) in QUESTIONS.items()
    ]
    command = [sys.executable, str(TESTS / "commands.py")]
    ran = subprocess.run(
        command, input=json.dumps(cases), env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ran.returncode == 0, ran.stderr
    return dict(zip(QUESTIONS, json.loads(ran.stdout), strict=True))


@pytest.mark.parametrize("question", QUESTIONS)
def test_answered_without_tensorflow(answers, question):
    answer = answers[question]
    assert (answer["code"], answer["err"], answer["statuses"]) == (0, "", [])
    assert QUESTIONS[question][-1] in answer["out"]
    assert not answer["tensorflow"]


def test_help_lists_every_option(answers):
    said = answers["help"]["out"]
    for folder in CONF.iterdir():
        if folder.is_dir() and folder.name != "hydra":
            options = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            assert f"{folder.name}: {options}\n" in said


EXAMPLES = re.findall(r"^ +python -m sconv(.*?)(?:  .*)?$", HELP.header, re.MULTILINE)


def test_help_gives_five_examples():
    assert len(EXAMPLES) + HELP.header.count("tensorboard --logdir") == 5


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_composes(compose, example):
    overrides = [one.split(",")[0] for one in example.split() if one != "-m"]
    compose(*overrides)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sconv sched", {"schedule.", "schedule"}),  # some of its options lie in a folder: no = yet
        ("sconv schedule=one", {"schedule=onecycle", "schedule=onecycle_fastai"}),
        ("sconv epochs=3 device=", {f"device={kind}" for kind in ("auto", "cpu", "gpu", "mirrored", "multi_worker")}),
    ],
)
def test_the_tab_key(tmp_path, environment, typed, offered):
    """As in a terminal: what the script installs completes the console script's arguments."""
    script = tmp_path / "sconv"
    script.write_text(f"#!{sys.executable}\nfrom sconv.runner.cli import main\nmain()\n")
    script.chmod(0o755)
    pressed = (
        'eval "$(sconv -sc install=bash)"; COMP_WORDS=($COMP_LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
        'hydra_bash_completion; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    places = {"PATH": f"{tmp_path}:{environment['PATH']}", "COMP_LINE": typed, "COMP_POINT": str(len(typed))}
    ran = subprocess.run(
        ["bash", "-c", pressed], env={**environment, **places}, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert set(ran.stdout.split()) >= offered
    assert all(word.startswith(typed.split()[-1]) for word in ran.stdout.split())


def test_the_store_of_configurations_is_not_copied(compose):
    """Hydra copies it a hundred times for --help; there is only one, and a copy is that one."""
    compose()
    store = ConfigStore.instance()
    assert copy.deepcopy({"store": store})["store"] is store
