"""Tables of learning rate and momentum as other implementations give them, typed in, never computed by sconv.

A number in a table is exact; a text is rounded to the last digit it shows.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from sconv.schedules import Phase, Schedule, onecycle, onecycle_fastai


def pytorch_pct(pct_start: float, steps: int) -> float:
    """PyTorch's `pct_start`, counted from step -1 in its phases, as a share of the steps between first and last."""
    return (pct_start * steps - 1) / (steps - 1)


def assert_table(actual: np.ndarray, table: list[float | str]) -> None:
    assert len(actual) == len(table)
    for step, (value, entry) in enumerate(zip(actual.tolist(), table, strict=True)):
        if isinstance(entry, str):
            half_unit = 0.5 * 10.0 ** int(Decimal(entry).as_tuple().exponent)
            # A hair more, for the half unit and the entry are not exact in binary.
            assert value == pytest.approx(float(entry), rel=0, abs=half_unit * (1 + 1e-6)), f"step {step}"
        else:
            assert value == pytest.approx(entry, rel=1e-14, abs=1e-17), f"step {step}"


# torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=10), the rest as PyTorch's defaults.
TWO_PHASE_COSINE = (
    [0.04, 0.52, 1, "0.950485", "0.811746", "0.611262", "0.388742", "0.188258", "0.0495194", 4e-6],
    [0.95, 0.9, 0.85, "0.8550", "0.8688", "0.8889", "0.9111", "0.9312", "0.9450", 0.95],
)
# The same with three_phase=True.
THREE_PHASE_COSINE = (
    [0.04, 0.52, 1, 0.52, 0.04, "0.0361807", "0.0261817", "0.0138223", "0.00382328", 4e-6],
    [0.95, 0.9, 0.85, 0.9, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95],
)
# And with anneal_strategy="linear".
THREE_PHASE_LINEAR = (
    [0.04, 0.52, 1, 0.52, 0.04, 0.0320008, 0.0240016, 0.0160024, 0.0080032, 4e-6],
    [0.95, 0.9, 0.85, 0.9, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95],
)
# PyTorch's own tests. Its momentum runs from 22 to 1, which is none: ours is a hundredth of it.
TORCH_TEST_TWO_PHASE_LINEAR = (
    [1, 13, 25, 21.5, 18, 14.5, 11, 7.5, 4, 0.5],
    [0.22, 0.115, 0.01, 0.04, 0.07, 0.10, 0.13, 0.16, 0.19, 0.22],
)
TORCH_TEST_THREE_PHASE_LINEAR = (
    [1, 9, 17, 25, 17, 9, 1, 0.75, 0.5, 0.25],
    [0.22, 0.15, 0.08, 0.01, 0.08, 0.15, 0.22, 0.22, 0.22, 0.22],
)


@pytest.mark.parametrize(
    ("schedule", "table"),
    [
        pytest.param(onecycle_fastai(1, pct_start=pytorch_pct(0.3, 10)), TWO_PHASE_COSINE, id="two-phase-cosine"),
        pytest.param(
            onecycle(1, final_div_factor=1e4, pct_start=pytorch_pct(0.3, 10), anneal="cosine"),
            THREE_PHASE_COSINE,
            id="three-phase-cosine",
        ),
        pytest.param(
            onecycle(1, final_div_factor=1e4, pct_start=pytorch_pct(0.3, 10)),
            THREE_PHASE_LINEAR,
            id="three-phase-linear",
        ),
        pytest.param(
            onecycle_fastai(25, (0.22, 0.01), 25, final_div_factor=2, pct_start=pytorch_pct(0.3, 10), anneal="linear"),
            TORCH_TEST_TWO_PHASE_LINEAR,
            id="torch-test-two-phase-linear",
        ),
        pytest.param(
            onecycle(25, (0.22, 0.01), 25, final_div_factor=4, pct_start=pytorch_pct(0.4, 10)),
            TORCH_TEST_THREE_PHASE_LINEAR,
            id="torch-test-three-phase-linear",
        ),
    ],
)
def test_pytorch_one_cycle(schedule: Schedule, table: tuple[list[float | str], list[float | str]]) -> None:
    lr, momentum = schedule.sample(10)
    assert_table(lr, table[0])
    assert_table(momentum, table[1])


def test_fastai_v1_stops_one_step_short_of_ours() -> None:
    # fastai v1 moves on after each batch, so the final value is set when no batch is left to use it.
    lr, momentum = onecycle_fastai(1).sample(11)
    fastai_lr = [0.04, 0.28, 0.76, 1, "0.950485", "0.811746", "0.611262", "0.388742", "0.188258", "0.0495194"]
    fastai_momentum = [0.95, 0.925, 0.875, 0.85, "0.8550", "0.8688", "0.8889", "0.9111", "0.9312", "0.9450"]
    assert_table(lr[:10], fastai_lr)
    assert_table(momentum[:10], fastai_momentum)
    assert lr[10] == pytest.approx(4e-6, rel=1e-14)
    assert momentum[10] == 0.95


def test_defaults_of_onecycle_in_round_numbers() -> None:
    # 21 steps: knots at 9, 18 and 20, so that each phase rises and falls by a round number.
    lr, momentum = onecycle(25, div_factor=2.5, final_div_factor=10).sample(21)
    up = [10, 11 + 2 / 3, 13 + 1 / 3, 15, 16 + 2 / 3, 18 + 1 / 3, 20, 21 + 2 / 3, 23 + 1 / 3]
    assert_table(lr, [*up, 25, *reversed(up), 5.5, 1])
    down = [0.95, 0.85 + 0.8 / 9, 0.85 + 0.7 / 9, 0.85 + 0.6 / 9, 0.85 + 0.5 / 9]
    down += [0.85 + 0.4 / 9, 0.85 + 0.3 / 9, 0.85 + 0.2 / 9, 0.85 + 0.1 / 9]
    assert_table(momentum, [*down, 0.85, *reversed(down), 0.95, 0.95])


def test_phases_that_do_not_meet_jump_on_the_step_after_the_knot() -> None:
    schedule = Schedule((Phase(0.5, (1, 3), (0.1, 0.3)), Phase(0.5, (8, 6), (0.3, 0.5))))
    lr, momentum = schedule.sample(7)
    assert_table(lr, [1, 1 + 2 / 3, 2 + 1 / 3, 3, 8, 7, 6])
    # Momentum does meet, so it spreads its second rise over the three steps there are.
    assert_table(momentum, [0.1, 0.1 + 0.2 / 3, 0.1 + 0.4 / 3, 0.3, 0.3 + 0.2 / 3, 0.3 + 0.4 / 3, 0.5])
