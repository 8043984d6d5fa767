"""LeNet-5: the notebook's layers and their parameters, counted by hand."""

from __future__ import annotations

import keras
import pytest

from sconv import checks
from sconv.models import lenet5

FIRST = 3 * 3 * 1 * 6 + 6
SECOND = 3 * 3 * 6 * 16 + 16
# 28 -> same convolution 28 -> pooled 14 -> valid convolution 12 -> pooled 6
DENSE = (6 * 6 * 16) * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10


def test_parameters_on_mnist():
    model = lenet5.build((28, 28, 1), 10)
    assert model.count_params() == FIRST + SECOND + DENSE == 81_194


def test_parameters_on_another_shape_and_number_of_classes():
    model = lenet5.build([33, 20, 3], 7, scale=1.0)
    # 33x20 -> pooled 16x10 -> valid convolution 14x8 -> pooled 7x4
    convolutions = (3 * 3 * 3 * 6 + 6) + (3 * 3 * 6 * 16 + 16)
    assert model.count_params() == convolutions + (7 * 4 * 16 * 120 + 120) + (120 * 84 + 84) + (84 * 7 + 7)


def test_the_layers_are_the_notebook_s():
    kinds = [type(layer) for layer in lenet5.build((28, 28, 1), 10).layers]
    convolution, pooling, dense = keras.layers.Conv2D, keras.layers.AveragePooling2D, keras.layers.Dense
    scaling = [keras.layers.InputLayer, keras.layers.Rescaling]
    assert kinds == [*scaling, convolution, pooling, convolution, pooling, keras.layers.Flatten, dense, dense, dense]


@pytest.mark.parametrize("shape", [(4, 4, 1), (7, 28, 1), (28, 7, 1)], ids=str)
def test_an_input_too_small_is_one_line(shape):
    with pytest.raises(checks.SettingError) as caught:
        lenet5.build(shape, 10)
    assert str(caught.value) == f"input_shape: got {shape}, expected a height and a width of at least 8"


def test_the_smallest_input_builds():
    assert lenet5.build((8, 8, 1), 10).output_shape == (None, 10)
