"""When a training is given up: where it is lost, and never where it may still learn."""

from __future__ import annotations

import numpy as np
import pytest

from sconv import runs
from sconv.runner.tasks.giving_up import Lost, is_at_chance, is_lost

STEPS, LONG = 400, 100


def losses(shape, noise=0.3, seed=0, tail=False):
    """`shape` of the share of training, with the noise of batches; of a heavy tail where asked."""
    random = np.random.default_rng(seed)
    drawn = random.standard_t(2, STEPS) if tail else random.normal(size=STEPS)
    return np.array([shape(step / STEPS) for step in range(STEPS)]) + noise * drawn


def lost_at(values):
    """Where a training of twenty epochs would be given up, whose learning rate has its peak at 0.3."""
    ends = range(STEPS * 11 // 20, STEPS, STEPS // 20)  # past the peak for long enough
    return next((end for end in ends if is_lost(values[:end], LONG, STEPS - end)), None)


# The loss of chance is 2.3.
LOST = {
    "exploded and stays there": lambda at: 2.3 if at < 0.2 else 9.0,
    "climbs": lambda at: 2.3 if at < 0.3 else 2.3 + 9 * (at - 0.3),
    "learned, then exploded": lambda at: 2.3 - 4 * at if at < 0.3 else 5.0,
}
MAY_LEARN = {
    "learns": lambda at: 2.3 * np.exp(-3 * at),
    "at chance": lambda at: 2.3,
    "a plateau, then a fall to come": lambda at: 2.31,
    "exploded and comes back": lambda at: 2.3 if at < 0.2 else 3 + 30 * np.exp(-6 * (at - 0.2)),
    "a little above its start and falling": lambda at: 2.3 if at < 0.3 else 4.0 - 1.5 * (at - 0.3),
    "one outburst": lambda at: 60.0 if 0.8 < at < 0.83 else 2.0,
    "began by luck": lambda at: 2.2 if at < 0.02 else 2.3,
}


@pytest.mark.parametrize("shape", LOST)
def test_what_is_lost_is_seen(shape):
    seen = [lost_at(losses(LOST[shape], seed=seed)) for seed in range(50)]
    assert all(step is not None and step < STEPS for step in seen)


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("shape", MAY_LEARN)
def test_what_may_learn_is_left_alone(shape, tail):
    assert [lost_at(losses(MAY_LEARN[shape], seed=seed, tail=tail)) for seed in range(100)] == [None] * 100


def test_few_losses_tell_nothing():
    exploded = losses(LOST["exploded and stays there"])
    assert is_lost(exploded, LONG, left=0)
    assert not is_lost(exploded[:199], LONG, left=0)
    assert not is_lost(exploded, 49, left=0)


def test_at_chance_is_not_below_it_for_long():
    chance = {**dict.fromkeys(("at chance", "a plateau, then a fall to come"), True), "learns": False}
    for shape, expected in chance.items():
        values = [losses(MAY_LEARN[shape], seed=seed) for seed in range(50)]
        assert {is_at_chance(each, LONG, 2.3) for each in values} == {expected}
    fell = losses(lambda at: 2.3 if at < 0.95 else 1.0)
    assert not is_at_chance(fell[: STEPS - 10], LONG, 2.3)


@pytest.mark.slow
def test_a_network_that_is_dead_is_given_up(train, tmp_path):
    """Its units answer nothing to any input; one that has hardly moved answers, and is left alone."""
    with pytest.raises(
        Lost, match=r"at chance or above it for 20 steps.* at step 49 \(learning rate .*, momentum .*lower"
    ):
        train("epochs=8", "lr_max=1000", into=tmp_path)
    summary = runs.read_summary(tmp_path)
    assert (summary["status"], summary["steps"], summary["diverged"]["step"]) == ("diverged", 50, 49)
    summary = runs.read_summary(train("epochs=8", "lr_max=1e-7"))
    assert (summary["status"], summary["steps"], summary["learned"]) == ("finished", 80, False)
