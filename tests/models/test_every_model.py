"""What holds for every model: raw images in, probabilities out, files that need no sconv, and strict settings."""

from __future__ import annotations

import inspect
import subprocess
import sys

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from sconv import checks
from sconv.datasets import synthetic
from sconv.models import airbench, cnn3, convnet, densenet, lenet5, lenet_caffe, mlp, resnet, resnet9, wide_resnet

# Each small enough to train in a test: the module, and settings that differ from the defaults.
MODELS = {
    "lenet5": (lenet5, {}),
    "lenet_caffe": (lenet_caffe, {}),
    "cnn3": (cnn3, {}),
    "convnet": (convnet, {"width": 4}),
    "mlp": (mlp, {"hidden": [64]}),
    "resnet": (resnet, {"depth": 8, "width": 8}),
    "wide_resnet": (wide_resnet, {"depth": 10, "widen_factor": 1}),
    "densenet": (densenet, {"depth": 10}),
    "resnet9": (resnet9, {"width": 8, "logit_scale": 1.0}),
    "airbench": (airbench, {"widths": [8, 16, 16], "logit_scale": 1.0}),
}
POLICIES = ("float32", "mixed_bfloat16")
SHAPE = (16, 16, 3)

pytestmark = pytest.mark.slow  # trains or builds large models, or starts a browser

# Loads every file of a folder where sconv cannot be imported, and checks its predictions against the stored ones.
LOADING = """
import pathlib, sys
sys.modules["sconv"] = None
import keras
import numpy as np
folder = pathlib.Path(sys.argv[1])
images = np.load(folder / "images.npy")
for path in sorted(folder.glob("*.keras")):
    found = np.asarray(keras.saving.load_model(path)(images))
    print(path.stem, np.array_equal(found, np.load(path.with_suffix(".npy"))))
"""


@pytest.fixture(autouse=True)
def _float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture(scope="module")
def images():
    return synthetic.load(SHAPE, classes=4, train_size=64, test_size=4).train


def built(name, classes=4, shape=SHAPE):
    module, settings = MODELS[name]
    return module.build(input_shape=shape, classes=classes, **settings)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", MODELS)
def test_raw_images_in_probabilities_out(name, policy, images):
    keras.config.set_dtype_policy(policy)
    model = built(name)
    assert model.input_shape == (None, *SHAPE)
    assert model.output_shape == (None, 4)
    assert isinstance(model.layers[1], keras.layers.Rescaling)
    assert images.images.dtype == np.uint8
    found = np.asarray(model(images.images))
    assert found.shape == (64, 4)
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(64), abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_what_gives_the_probabilities_stays_in_float32(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    weighted = [layer for layer in built(name).layers if layer.weights]
    *before, head = (layer.compute_dtype for layer in weighted)
    assert (head, set(before)) == ("float32", {"bfloat16"})
    assert {weight.dtype for layer in weighted for weight in layer.weights} == {"float32"}


@pytest.mark.parametrize("name", MODELS)
def test_the_scale_is_part_of_the_model(name, images):
    module, settings = MODELS[name]
    plain, scaled = built(name), module.build(input_shape=SHAPE, classes=4, scale=1.0, **settings)
    scaled.set_weights(plain.get_weights())
    expected = np.asarray(plain(images.images))
    assert np.asarray(scaled(images.images / np.float32(255))) == pytest.approx(expected, abs=1e-5)


def test_saved_files_load_without_sconv(images, tmp_path):
    np.save(tmp_path / "images.npy", images.images)
    expected = []
    for name, policy in [*((name, "float32") for name in MODELS), ("resnet9", "mixed_bfloat16")]:
        keras.config.set_dtype_policy(policy)
        model = built(name)
        model.save(tmp_path / f"{name}-{policy}.keras")
        np.save(tmp_path / f"{name}-{policy}.npy", np.asarray(model(images.images)))
        expected.append(f"{name}-{policy} True")
    done = subprocess.run([sys.executable, "-c", LOADING, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(expected)


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_file_names_public_keras_only(name):
    # keras.ops leave their private module in the file, which a later Keras may have moved.
    modules = {layer["module"] for layer in built(name).get_config()["layers"]}
    assert modules == {"keras.layers"}


@pytest.mark.parametrize("name", MODELS)
def test_it_learns_64_images_by_heart(name, images):
    keras.utils.set_random_seed(0)
    model = built(name)
    # Compiling with XLA would take longer than the training.
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", jit_compile=False)
    history = model.fit(images.images, images.labels, batch_size=16, epochs=40, verbose=0).history
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    found = np.asarray(model(images.images)).argmax(axis=1)
    assert (found == images.labels).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_repeats_and_another_differs(name):
    kernels = []
    for seed in (0, 0, 1):
        keras.utils.set_random_seed(seed)
        kernels.append(np.concatenate([weight.ravel() for weight in built(name).get_weights()]))
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


@pytest.mark.parametrize("name", MODELS)
def test_lists_of_a_config_will_do(name):
    model = built(name, shape=OmegaConf.create([28, 28, 1]))
    assert model.input_shape == (None, 28, 28, 1)


# Values of each setting that will not do. What is no number at all is refused by the checks that all of them share.
BAD = {
    "input_shape": [28, "28", (), (28, 28, 0), (28, None, 1)],
    "classes": [1, 2.5, "10"],
    "scale": [0, float("nan"), "1/255"],
}
IMAGES = {"input_shape": [(784,), (28, 28)]}
DEPTH, WIDTH, DROPOUT = {"depth": [18, "20"]}, {"width": [0, None]}, {"dropout": [1, -0.1, "half"]}
OWN = {
    "lenet5": {"input_shape": [*IMAGES["input_shape"], (4, 4, 1)]},
    "lenet_caffe": {"input_shape": [*IMAGES["input_shape"], (15, 28, 1)]},
    "cnn3": IMAGES,
    "convnet": {"input_shape": [*IMAGES["input_shape"], (7, 8, 3)], **WIDTH},
    "mlp": {"hidden": [128, [128, 0], ["wide"]], **DROPOUT},
    "resnet": {**IMAGES, **DEPTH, **WIDTH},
    "wide_resnet": {**IMAGES, **DEPTH, **DROPOUT, "widen_factor": [0]},
    "densenet": {"input_shape": [*IMAGES["input_shape"], (3, 4, 1)], **DEPTH, **DROPOUT, "growth_rate": [0]},
    "resnet9": {"input_shape": [*IMAGES["input_shape"], (7, 8, 3)], **WIDTH, "logit_scale": [0]},
    "airbench": {
        "input_shape": [*IMAGES["input_shape"], (8, 9, 3)],
        "widths": [64, [64, 128], [64, 0, 128]],
        "activation": ["rleu", 1],
        "norm_momentum": [1, -0.1],
        "logit_scale": [0],
        "training_images": [np.zeros((4, 28, 28, 3)), np.zeros((1, 28, 28, 1)), "images"],
    },
}


@pytest.mark.parametrize("name", MODELS)
def test_a_bad_value_is_one_line_that_names_the_setting(name):
    build = MODELS[name][0].build
    assert BAD.keys() | OWN[name].keys() == set(inspect.signature(build).parameters)
    for setting, values in (*BAD.items(), *OWN[name].items()):
        for value in values:
            with pytest.raises(checks.UserError, match=rf"^{setting}.*: got .*expected ") as caught:
                build(**{"input_shape": (28, 28, 1), "classes": 10, setting: value})
            assert "\n" not in str(caught.value)
