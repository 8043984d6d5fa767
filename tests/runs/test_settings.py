"""settings.json: what a run was told is read back as it was, and as nothing but plain values."""

from __future__ import annotations

import json
import os

import pytest

from sconv import runs

TOLD = runs.Settings(
    {"lr_max": 0.1, "seed": 0, "l2": None, "model": {"hidden": [16], "_target_": "sconv.models.mlp.build"}},
    {"model": "mlp"},
    ["model.hidden=[16]"],
    "somewhere",
)
PLAIN = vars(TOLD)


def nested(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def test_what_was_told_comes_back(tmp_path):
    runs.write_settings(tmp_path, TOLD)
    assert runs.read_settings(tmp_path) == TOLD
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no JSON"),
        ("[1", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("1" * 5000, "no JSON"),
        ('"' + "a" * 1_000_000 + '"', "expected a file of at most 1,000,000 bytes"),
        ("[]", "expected settings, choices, overrides, directory"),
        ("{}", "expected settings, choices, overrides, directory"),
        ({**PLAIN, "settings": [1]}, "settings: expected a mapping"),
        ({**PLAIN, "settings": nested(60)}, "nested deeper than 50 levels"),
        ({**PLAIN, "settings": {"a": ["x", "${oc.env:HOME}"]}}, "settings.a[1]: holds an interpolation"),
        ({**PLAIN, "settings": {"a": r"\${oc.env:HOME}"}}, "settings.a: holds an interpolation"),
        ({**PLAIN, "settings": {"${oc.env:HOME}": 1}}, "settings: holds an interpolation"),
        ({**PLAIN, "settings": {"a": {"b": "???"}}}, "settings.a.b: holds an interpolation or a missing value"),
        ({**PLAIN, "choices": ["mlp"]}, "of another type"),
        ({**PLAIN, "choices": {"model": 1}}, "no text"),
        ({**PLAIN, "overrides": [None]}, "no text"),
        ({**PLAIN, "directory": 1}, "of another type"),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_what_no_run_wrote_is_refused_in_one_line(tmp_path, content, said):
    (tmp_path / "settings.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(runs.BrokenRun) as caught:
        runs.read_settings(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    with pytest.raises(runs.BrokenRun, match=r"^settings.json: No such file"):
        runs.read_settings(tmp_path)
    os.mkfifo(tmp_path / "settings.json")
    with pytest.raises(runs.BrokenRun, match=r"^settings.json: expected a file of at most"):
        runs.read_settings(tmp_path)
