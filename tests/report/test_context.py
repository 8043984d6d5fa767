"""What the runs were made of, in every file of a report."""

import html

import pytest
import yaml

import fabricate
from sconv import runs
from sconv.report import markdown, page
from sconv.report.comparison import compare
from sconv.report.context import context
from sconv.report.groups import gather

VERSIONS = {"sconv": "0.1.0", "tensorflow": "2.21.0", "python": "3.11.7"}
COMMAND = "python -m sconv -m schedule=baseline,onecycle 'name=two words'"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    device = {"kind": "cpu", "gpus": [], "threads": 2}
    for schedule, day, epochs in [("baseline", 23, 2), ("baseline", 22, 1), ("onecycle", 21, 2)]:
        summary = {"device": device, "versions": VERSIONS, "started": f"2026-11-{day}T10:00:00+0000"}
        settings = {"model._target_": "my_package.net.build"}
        fabricate.run(root / f"{day}", [0.6] * epochs, schedule=schedule, summary=summary, settings=settings)
    task = ["schedule=baseline,onecycle", "name=two words"]
    told = {"hydra": {"overrides": {"hydra": ["hydra.sweep.dir=/somewhere"], "task": task}}}
    (root / "multirun.yaml").write_text(yaml.safe_dump(told))
    return root


def test_what_the_runs_were_made_of(sweep):
    assert context(gather([sweep])[0]) == {
        "dataset": "synthetic",
        "model": "my_package.net.build",  # not the option whose place it took
        "optimizer": "sgd",
        "epochs": "1, 2",
        "batch size": "32",
        "device": "cpu, 2 threads",
        "versions": "sconv 0.1.0, tensorflow 2.21.0, python 3.11.7",
        "trained": "2026-11-21 to 2026-11-23",
        "command": COMMAND,
    }


def test_it_is_in_every_file(sweep, tmp_path, monkeypatch):
    figures = {}
    monkeypatch.setattr(markdown.plots, "save", lambda figure, path: figures.update({path.name: figure}))
    comparison = compare(gather([sweep])[0])
    report, _ = markdown.write(comparison, tmp_path)
    head = report.read_text().partition("| group |")[0].replace("\\", "")
    texts = {"report.md": head, "report.html": html.unescape(page.write(comparison, tmp_path).read_text())}
    texts |= {name: figure.get_supxlabel().replace("\n", " ") for name, figure in figures.items()}
    assert len(texts) == 7
    for name, text in texts.items():
        for said in ("my_package.net.build", "tensorflow 2.21.0", "2026-11-21", COMMAND):
            assert said in text, (name, said)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("hydra: {overrides: {task: [a=1]}}", "python -m sconv a=1"),
        ('hydra: {overrides: {task: ["a=\\e[2J"]}}', "python -m sconv 'a=\\x1b[2J'"),
        ("hydra: {overrides: {task: [1, 2]}}", None),
        ("hydra: []", None),
        ("", None),
    ],
)
def test_the_command_of_one_run_as_it_was_written_down(tmp_path, content, found):
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / ".hydra" / "hydra.yaml").write_text(content)
    assert runs.command(tmp_path / "run") == found
