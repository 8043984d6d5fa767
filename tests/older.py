"""What the oldest Keras allowed lacks, as marks for tests."""

import inspect

import keras
import pytest

# Muon came with Keras 3.10, with other defaults until 3.13, ScheduleFreeAdamW with 3.13.
NEW_MUON = pytest.mark.skipif(
    not hasattr(keras.optimizers, "Muon")
    or "adam_weight_decay" not in inspect.signature(keras.optimizers.Muon).parameters,
    reason="an older Keras: no Muon, or one with other defaults",
)
NEW_SCHEDULE_FREE = pytest.mark.skipif(not hasattr(keras.optimizers, "ScheduleFreeAdamW"), reason="an older Keras")
