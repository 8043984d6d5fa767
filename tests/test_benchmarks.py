"""The benchmarks: what is computed from seconds, and that a run goes on without those who cannot take part."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("no checkout", allow_module_level=True)
sys.path.append(str(ROOT))

from benchmarks import first_step, harness, outcome, profile, scaling  # noqa: E402
from sconv.training import filter_gradients  # noqa: E402

PATIENCE = 600


def seconds(*of_each_round):
    return np.array([(value, 2 * value) for value in of_each_round])


def cell(network="ResNet-20", precision="float32", losses=(), **of):
    """A cell whose peers took so many seconds in each of two rounds."""
    taken = {name: seconds(*values) for name, values in of.items()}
    return {
        "network": network,
        "precision": precision,
        "batch": 128,
        "product_gflops": 100.0,
        "peers": outcome.compared(taken, images=1000),
        "costs": outcome.costs(taken),
        "losses": dict(losses),
        "errors": {},
    }


def test_ratios_are_of_the_same_round():
    rows = outcome.compared({"sconv": seconds(1, 4), "PyTorch": seconds(2, 8), "stock Keras": seconds(1, 2)}, 100)
    assert rows["PyTorch"]["ratio"] == 2.0
    assert rows["stock Keras"]["ratio"] == 0.75
    assert rows["sconv"]["images_per_second"] == 40.0


REACHED = {"sconv": (1, 1), "PyTorch": (1.3, 1.3), "stock Keras": (1.2, 1.2), "convolutions": (0.85, 0.85)}


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({}, None),
        ({"PyTorch": (0.9, 0.9)}, "0.900 of PyTorch, expected 1.0"),
        ({"stock Keras": (1.1, 1.1)}, "1.100 of stock Keras, expected 1.15"),
        ({"convolutions": (0.7, 0.7)}, "0.700 of the convolutions alone, expected 0.8"),
        ({"sconv, not recorded": (0.9, 0.9)}, "the recording takes 1.111 of the time without it, expected 1.05"),
        (
            {"sconv, not recorded": (1, 1), "sconv, constant rate": (0.9, 0.9)},
            "the schedule takes 1.111 of the time without it, expected 1.01",
        ),
    ],
)
def test_each_target_that_is_missed_has_a_line(changed, line):
    missed = outcome.missed([cell(**{**REACHED, **changed})])
    assert [each.removeprefix("ResNet-20, fp32: ") for each in missed if "cells at" not in each] == [line] * bool(line)


def test_a_fast_half_is_asked_for_and_equal_losses():
    slow, fast = cell(**{**REACHED, "PyTorch": (1.1, 1.1)}), cell(**REACHED)
    assert outcome.missed([slow, fast]) == []
    assert outcome.missed([slow, slow, fast]) == ["1 of 3 cells at 1.2 of PyTorch, expected half of them"]
    other = cell(**REACHED, losses={"sconv": 2.0, "PyTorch": 2.5})
    assert outcome.missed([other]) == ["ResNet-20, fp32: mean loss of the first epoch 2.000, PyTorch's 2.500"]


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("step/gradient_tape/conv2d/Conv2DBackpropFilter:_MklNativeConv2DBackpropFilter", "filter gradients"),
        ("step/conv2d/convolution:_FusedConv2D", "convolutions, forward"),
        ("step/norm/FusedBatchNormGradV3:_MklNativeFusedBatchNormGrad", "normalisation, gradient"),
        ("step/sgd/add_3:AddV2", "optimizer"),
        ("step/resnet20/add_1/Add:AddV2", "elementwise"),
    ],
)
def test_operations_are_summed_by_what_they_are_for(name, category):
    events = [(name, 2.0), (name, 1.0), ("step:StatefulPartitionedCall", 9.0), ("ExecutorState::Process", 9.0)]
    assert profile.summed(events) == {category: 3.0}


@pytest.mark.slow
def test_a_run_goes_on_without_a_peer_that_fails(tmp_path, environment):
    (tmp_path / "torch.py").write_text("raise ImportError('made to fail')")
    path = os.pathsep.join(filter(None, [str(tmp_path), environment.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "benchmarks", "--networks", "LeNet-5", "--precisions", "float32"]
    peers = ["convolutions", "stock Keras", "PyTorch", "sconv"]
    small = ["--peers", *peers, "--steps", "2", "--rounds", "1", "--batch", "8", "--out", str(tmp_path / "out")]
    ran = subprocess.run(
        [*command, *small],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ran.returncode == 0, ran.stderr
    (found,) = json.loads((tmp_path / "out" / "quick.json").read_text())["cells"]
    assert set(found["peers"]) == {"convolutions", "stock Keras", "sconv"}
    assert found["errors"] == {"PyTorch": "ImportError: made to fail"}
    assert found["parameters"] == 81_194
    # From the same weights on the same images: the order in which they come is each one's own.
    assert found["losses"]["stock Keras"] == pytest.approx(found["losses"]["sconv"], rel=outcome.SAME_LOSS)
    assert "PyTorch failed: ImportError: made to fail" in ran.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"quick.json", "quick.md", "quick.png"}


def test_the_page_on_scaling_tells_what_was_measured_and_what_the_model_says():
    page = (ROOT / "docs" / "scaling.md").read_text()
    measured = json.loads((harness.RESULTS / "scaling.json").read_text())["processes"]
    for processes, row in measured.items():
        told = [f"{row['images_a_second']:,.0f}", f"{row['efficiency']:.2f}"]
        told += [f"{row[part]:.0f} ms" for part in ("step_ms", "waiting_ms")]
        assert f"| {' | '.join([processes, *told])} |" in page
    for name, (count, bandwidth) in scaling.MACHINES.items():
        worst, best = (scaling.predicted(count, bandwidth, overlap) for overlap in scaling.OVERLAP)
        assert f"| {name} | {bandwidth / 1e9:g} GB | {worst:.2f} to {best:.2f} |" in page


def test_the_page_on_performance_tells_what_the_quick_run_found():
    page = " ".join((ROOT / "docs" / "performance.md").read_text().split())
    cells = json.loads((harness.RESULTS / "quick.json").read_text())["cells"]
    least, most = {}, {}
    for name in ("PyTorch", outcome.KERAS, outcome.LIMIT):
        ratios = [cell["peers"][name]["ratio"] for cell in cells]
        least[name], most[name] = min(ratios), max(ratios)
    told = {name: f"{least[name]:.2f} to {most[name]:.2f}" for name in least}
    assert f"{told['PyTorch']} times as fast as PyTorch and {told[outcome.KERAS]} times as fast as stock Keras" in page
    assert f"Its share of the limit was {told[outcome.LIMIT]}" in page
    assert sum(cell["peers"]["PyTorch"]["quartile_1"] < 1 for cell in cells) > len(cells) / 2


def test_the_page_on_performance_tells_what_onednn_gives():
    page = " ".join((ROOT / "docs" / "performance.md").read_text().split())
    found = json.loads((harness.RESULTS / "onednn.json").read_text())
    lenet, three, resnet = (f"{found['networks'][name]['ratio']:.2f}" for name in ("LeNet-5", "cnn3", "ResNet-20"))
    told = f"with it {lenet} times as fast on LeNet-5, {three} on three convolutions and {resnet} on ResNet-20"
    assert f"{told} (`python -m benchmarks.onednn`, medians of {found['rounds']} rounds)" in page


def test_filter_gradients_are_by_convolution_where_that_was_measured_to_be_sooner():
    page = " ".join((ROOT / "docs" / "performance.md").read_text().split())
    found = json.loads((harness.RESULTS / "filter_gradients.json").read_text())
    gained, lost = [], []
    for name, row in found["convolutions"].items():
        if shape := re.search(r"(\d+)x(\d+), (\d+) to (\d+), bf16", name):
            height, width, *channels = map(int, shape.groups())
            fits = height * width <= filter_gradients.LARGEST and min(channels) >= filter_gradients.NARROWEST
            (gained if fits else lost).append(row["ratio"])
    assert gained
    assert lost
    assert max(lost) < 1 < min(gained)
    told = f"that is {min(gained):.2f} to {max(gained):.2f} times as fast as the operation that TensorFlow has for it"
    assert f"{told} (`python -m benchmarks.filter_gradients`, medians of {found['rounds']} rounds)" in page


def test_the_page_on_performance_tells_how_soon_a_fit_begins():
    page = " ".join((ROOT / "docs" / "performance.md").read_text().split())
    found = json.loads((harness.RESULTS / "first_step.json").read_text())
    mlp, lenet, resnet = (f"{found['networks'][name]['ratio']:.2f}" for name in first_step.MEASURED)
    told = f"by a factor of {mlp} of a tiny MLP, {lenet} of LeNet-5 and {resnet} of ResNet-20"
    assert f"{told} (`python -m benchmarks.first_step`, medians of {found['rounds']} rounds)" in page


SPREAD = ("ratio", "quartile_1", "quartile_3")


def test_the_page_on_performance_tells_what_ends_of_epochs_cost():
    page = " ".join((ROOT / "docs" / "performance.md").read_text().split())
    found = json.loads((harness.RESULTS / "ends.json").read_text())
    short, long = (tuple(f"{row[name]:.2f}" for name in SPREAD) for row in found["networks"].values())
    assert "take stock Keras {} times as long (quartiles {} and {})".format(*short) in page
    assert "of 200 steps {} ({} and {})".format(*long) in page
    assert f"`python -m benchmarks.ends`, {found['rounds']} rounds" in page
