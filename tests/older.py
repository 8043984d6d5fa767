"""What the oldest Keras allowed lacks, as marks for tests."""

import inspect

import keras
import pytest

# Keras 3.12's Muon has other defaults, and knows no ScheduleFreeAdamW.
NEW_MUON = pytest.mark.skipif(
    "adam_weight_decay" not in inspect.signature(keras.optimizers.Muon).parameters, reason="an older Muon"
)
NEW_SCHEDULE_FREE = pytest.mark.skipif(not hasattr(keras.optimizers, "ScheduleFreeAdamW"), reason="an older Keras")
