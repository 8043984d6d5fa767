"""What images of one's own are trained with where nothing is said of a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from test_bad_input import carry_out


@pytest.fixture
def photos(tmp_path):
    """Three classes of 40 colour images: stripes that stand, that lie, or none; of any colour and brightness."""
    rng = np.random.default_rng(0)
    wave = 60 * np.sin(np.arange(16) * np.pi / 2 + 0.5)
    for name, pattern in {"standing": wave[None, :], "lying": wave[:, None], "none": np.zeros((1, 1))}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(40):
            pixels = rng.uniform(60, 190, 3) + pattern[..., None] + rng.normal(0, 20, (16, 16, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path


@pytest.mark.slow
def test_a_folder_of_images_is_learned(photos, environment):
    ask = ["dataset=image_folder", "dataset.path=photos", "dataset.cache=cache", "hydra.run.dir=run", "batch_size=8"]
    (result,) = carry_out([{"folder": str(photos), "arguments": ask}], environment)
    assert result["code"] == 0, result["err"]
    summary = json.loads((photos / "run" / "summary.json").read_text())
    assert summary["learned"] is True
    assert summary["final"]["val_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("overrides", "model"),
    [
        (["dataset=image_folder"], "convnet"),
        (["dataset=image_csv"], "convnet"),
        (["dataset=image_folder", "model=mlp"], "mlp"),
        (["model=lenet5", "dataset=image_csv"], "lenet5"),
        (["dataset=npz"], "lenet5"),
        (["experiment=smith2017_fig1a", "dataset=image_folder"], "resnet56"),
    ],
    ids=" ".join,
)
def test_the_model_that_suits_photographs_unless_another_is_asked_for(compose, overrides, model):
    assert compose(*overrides, hydra=True).hydra.runtime.choices.model == model
