"""Transfer learning: the backbone's own preprocessing, what trains, the head, and files that need no sconv."""

from __future__ import annotations

import functools
import subprocess
import sys

import keras
import numpy as np
import pytest

from sconv import checks
from sconv.models import transfer

apps = keras.applications
SHAPE = (32, 32, 3)
SMALL = functools.partial(apps.MobileNet, alpha=0.25)


def vgg_like(input_shape, include_top, weights):
    """As small as can be, with the preprocessing of VGG16: blue first, and less the mean."""
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))


vgg_like.__module__ = apps.VGG16.__module__
IMAGES = np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype(np.uint8)

pytestmark = pytest.mark.filterwarnings("ignore:`input_shape` is undefined")


def built(shape=SHAPE, classes=2, **settings):
    return transfer.build(shape, classes, **{"backbone": SMALL, "weights": None, **settings})


def prepared(model, images):
    """What goes into the backbone."""
    seen = []
    body = model.get_layer("backbone")
    call = body.call
    body.call = lambda inputs, *args, **kwargs: (seen.append(np.asarray(inputs)), call(inputs, *args, **kwargs))[1]
    model(images)
    return seen[-1]


@pytest.mark.parametrize(("backbone", "own"), [(SMALL, apps.mobilenet), (vgg_like, apps.vgg16)], ids=["tf", "caffe"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_raw_images_are_prepared_as_the_backbone_wants_them(backbone, own, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = built(backbone=backbone)
        found = prepared(model, IMAGES).astype(np.float32)
    finally:
        keras.config.set_dtype_policy("float32")
    expected = own.preprocess_input(IMAGES.astype(np.float32))
    # 16 bits begin only where the backbone does.
    assert found == pytest.approx(expected, abs=1e-5 if policy == "float32" else 0.5)
    assert np.abs(expected).max() > 0
    assert model.get_layer("head").compute_dtype == "float32"


def test_images_are_prepared_as_every_family_of_keras_does():
    for name in FAMILIES:
        function = getattr(apps, name)
        inputs = keras.Input(SHAPE)
        found = np.asarray(keras.Model(inputs, transfer._prepared(inputs, function))(IMAGES))
        own = sys.modules[function.__module__].preprocess_input(IMAGES.astype(np.float32))
        assert found == pytest.approx(own, abs=1e-4), name


# The smallest of each family, on the smallest images it takes.
FAMILIES = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "VGG19": 32,
    "Xception": 71,
}


def test_no_family_of_keras_is_left_out():
    modules = {getattr(apps, name).__module__ for name in dir(apps) if name[0].isupper()}
    assert {getattr(apps, name).__module__ for name in FAMILIES} == modules


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_builds(name):
    side = FAMILIES[name]
    model = built((side, side, 3), backbone=getattr(apps, name))
    assert model.get_layer("backbone").count_params() > 500_000
    assert len(model.trainable_variables) == 2
    outputs = np.asarray(model(np.zeros((2, side, side, 3), np.uint8)))
    assert outputs.sum(axis=1) == pytest.approx(np.ones(2), abs=1e-5)


def test_a_backbone_that_breaks_is_no_missing_download():
    def broken(**_):
        raise KeyError("backbone")

    broken.__module__ = apps.VGG16.__module__
    with pytest.raises(KeyError):
        built(backbone=broken)


@pytest.mark.parametrize(("frozen", "trains"), [(True, 2), (False, None)])
def test_a_frozen_backbone_keeps_its_weights_and_statistics(frozen, trains):
    model = built(frozen=frozen)
    assert trains in (None, len(model.trainable_variables))
    before = [part.copy() for part in model.get_layer("backbone").get_weights()]
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(IMAGES, np.array([0, 1, 0, 1]), verbose=0)
    after = model.get_layer("backbone").get_weights()
    same = [np.array_equal(one, other) for one, other in zip(before, after, strict=True)]
    assert all(same) if frozen else not any(same[:2])


def test_parameters_of_the_notebooks_second_task():
    model = transfer.build((160, 160, 3), 2, weights=None)
    # MobileNetV2 without its top has 2,257,984; the head takes its 1,280 channels.
    assert model.count_params() == 2_257_984 + 1_280 * 2 + 2
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 1_280 * 2 + 2


def test_two_classes_have_the_loss_of_one_logit():
    # The notebook's single output went without a sigmoid into a cross-entropy of probabilities.
    model = built()
    labels = np.array([0, 1, 1, 0])
    probabilities = model.predict(IMAGES, verbose=0).astype(np.float64)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    head = model.get_layer("head").kernel.numpy()
    features = keras.Model(model.inputs, model.get_layer("head").input).predict([IMAGES], verbose=0)
    logit = features @ (head[:, 1] - head[:, 0])
    expected = np.mean(np.log1p(np.exp(np.where(labels, -logit, logit))))
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    assert model.evaluate(IMAGES, labels, verbose=0) == pytest.approx(expected, rel=1e-4)


def test_a_grey_image_is_repeated():
    model = built((32, 32, 1))
    grey = prepared(model, IMAGES[..., :1])
    assert np.array_equal(grey, np.repeat(grey[..., :1], 3, axis=-1))
    assert grey.std() > 0.1


@pytest.mark.slow
def test_a_saved_file_loads_without_sconv(tmp_path):
    # VGG's way reorders the channels, by a layer of its own.
    for name, backbone in (("mobilenet", SMALL), ("vgg", vgg_like)):
        model = built(backbone=backbone)
        modules = {layer["module"] for layer in model.get_config()["layers"]}
        assert modules == {"keras.layers", "keras.src.models.functional"}
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", np.asarray(model(IMAGES)))
    np.save(tmp_path / "images.npy", IMAGES)
    code = """if True:
        import pathlib, sys
        sys.modules["sconv"] = None
        import keras, numpy as np
        folder = pathlib.Path(sys.argv[1])
        for path in folder.glob("*.keras"):
            found = np.asarray(keras.saving.load_model(path)(np.load(folder / "images.npy")))
            print(np.array_equal(found, np.load(path.with_suffix(".npy"))))"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "True"], done.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (16, 16, 3)}, "model: input_shape .* at least 32x32"),
        ({"shape": (32, 32, 2)}, "input_shape: number of channels: got 2, expected one of 1, 3"),
        ({"classes": 1}, "classes: got 1"),
        ({"backbone": keras.Sequential}, "backbone: got .*, expected a function of keras.applications"),
        ({"weights": "none/such.h5"}, "model: input_shape .* weights 'none/such.h5'"),
        ({"frozen": "yes"}, "frozen: got 'yes', expected one of True, False"),
        ({"dropout": 1}, "dropout: got 1"),
    ],
)
def test_a_wrong_setting_is_one_line(settings, message):
    with pytest.raises(checks.UserError, match=f"^{message}") as caught:
        built(**settings)
    assert "\n" not in str(caught.value)


def test_weights_that_cannot_be_downloaded_are_one_line():
    def offline(**_):
        raise Exception("URL fetch failure on https://example.org")  # as Keras does

    offline.__module__ = apps.MobileNet.__module__
    with pytest.raises(checks.DataError, match=r"^weights: got 'imagenet', which cannot be had: URL .* weights=null$"):
        built(backbone=offline, weights="imagenet")
