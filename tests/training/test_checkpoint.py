"""A fit that was interrupted and is started again equals one that never was: compared with a tolerance of zero."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import sconv
from conftest import PATIENCE
from sconv.datasets import Dataset, Split
from sconv.datasets.pipeline import augmentation
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.training import checkpoint_file, keras_internals, snapshot
from sconv.training.checkpoint import restore
from sconv.training.inputs import follow_epochs

# Each trains, or starts a process of its own.
pytestmark = pytest.mark.slow

EPOCHS, BATCHES, SIZE = 2, 6, 8
EACH_STEP = ("1step", "1epoch")
_numbers = np.random.default_rng(3)
X = _numbers.normal(size=(SIZE * BATCHES - 3, 6)).astype(np.float32)
Y = (X.sum(axis=1) > 0).astype(np.int64)
IMAGES = _numbers.integers(0, 256, (len(X), 4, 4, 1), np.uint8)


def network(optimizer="adam", images=False, accelerated=False, seed=1, width=8, **compiled):
    keras.utils.set_random_seed(seed)
    first = (keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(width, 3)) if images else (keras.layers.Dense(width),)
    layers = (*first, keras.layers.BatchNormalization(), keras.layers.Dropout(0.3), keras.layers.Flatten())
    model = keras.Sequential([*layers, keras.layers.Dense(2, activation="softmax", dtype="float32")])
    chosen = {
        "adam": lambda: keras.optimizers.Adam(0.01),
        "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
        "accumulating": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=4),
        "averaging": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=5),
        "scaling": lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.01, momentum=0.9), initial_scale=4.0, dynamic_growth_steps=3
        ),
    }
    if accelerated:
        sconv.accelerate(model)
    model.compile(chosen[optimizer](), "sparse_categorical_crossentropy", metrics=["accuracy"], **compiled)
    return model


class Draws(keras.callbacks.Callback):
    """Draws from every source of random numbers after every execution, and keeps what it drew."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def on_train_batch_end(self, batch, logs=None):
        tensors = (keras.random.uniform(()), tf.random.uniform(()), tf.random.get_global_generator().uniform(()))
        numbers = (random.random(), random.gauss(), np.random.normal(), *map(float, tensors))
        self.drawn.append((batch, float(logs["loss"]), *numbers))


class Ended(Exception):  # noqa: N818 - nothing went wrong
    pass


class EndAfter(keras.callbacks.Callback):
    """Ends a fit by an exception after so many batches of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch + 1) >= self.at:
            raise Ended


class Run:
    """One fit and all that came of it."""

    def __init__(
        self,
        model,
        directory=None,
        *others,
        every=("1step", "1epoch"),
        keep=99,
        streamed=False,
        weights=None,
        first=False,
    ):
        tf.random.set_global_generator(tf.random.Generator.from_seed(5))
        self.rows, self.draws = [], Draws()
        parts = (model.optimizer.gradient_accumulation_steps or 1) if model.optimizer else 1
        self.driver = sconv.ScheduleCallback(
            sconv.schedules.onecycle_fastai(0.05), EPOCHS * BATCHES // parts, self.write, every_seconds=0
        )
        stream, data = None, {"x": X, "y": Y, "batch_size": SIZE, "shuffle": True}
        if streamed:
            augment = augmentation.chain([augmentation.standard(padding=1), augmentation.cutout(2)])
            stream = TrainingStream(Split(IMAGES, Y), SIZE, seed=2, augment=augment)
            data = {"x": stream.batches, "shuffle": False}
        callbacks = [self.driver, self.draws] + ([follow_epochs(stream)] if streamed else [])
        if directory is not None:
            keeper = sconv.Checkpoint(directory, every, keep, stream=stream, parts={"rows": self})
            callbacks.insert(0 if first else len(callbacks), keeper)
        self.model = model
        held_out = (IMAGES, Y) if streamed else (X, Y)
        options = {"epochs": EPOCHS, "verbose": 0, "validation_data": held_out, "class_weight": weights}
        self.history = model.fit(**data, **options, callbacks=[*callbacks, *others])

    def write(self, first, rates, momenta, losses):
        self.rows += zip(range(first, first + len(rates)), rates, losses, strict=True)

    def state(self):
        return {"rows": len(self.rows), "all": np.array(self.rows)}

    def restore(self, state):
        self.rows = [(int(row), rate, np.float32(loss)) for row, rate, loss in state["all"]]

    def equals(self, other):
        """Whether nothing at all is another."""
        for name in ("model", "optimizer"):
            ours, theirs = (_variables(run.model, name) for run in (self, other))
            assert [array.tobytes() for array in ours] == [array.tobytes() for array in theirs], name
        assert self.rows == other.rows
        assert self.driver.losses.tobytes() == other.driver.losses.tobytes()
        assert self.driver.lrs.tobytes() == other.driver.lrs.tobytes()
        assert self.history.epoch == other.history.epoch
        assert self.history.history == other.history.history
        # No batch of those that came before is told again.
        made = len(self.draws.drawn)
        assert self.draws.drawn == (other.draws.drawn[-made:] if made else [])
        return True


def _variables(model, name):
    return [variable.numpy() for variable in (model if name == "model" else model.optimizer).variables]


KINDS = {
    "adam, dropout, normalisation": {},
    "momentum": {"optimizer": "sgd"},
    "4 steps to an execution": {"optimizer": "sgd", "steps_per_execution": 4},
    "accumulation": {"optimizer": "accumulating"},
    "accumulation in executions of 4": {"optimizer": "accumulating", "steps_per_execution": 4},
    "averaged weights": {"optimizer": "averaging"},
    "bfloat16": {"policy": "mixed_bfloat16"},
    "float16": {"policy": "mixed_float16", "optimizer": "scaling"},
    "eager": {"run_eagerly": True},
    "stream": {"images": True, "streamed": True},
    "stream, accelerated": {"images": True, "streamed": True, "accelerated": True},
    "stream with class weights": {"images": True, "streamed": True, "weights": {0: 1.0, 1: 2.0}},
}


def undisturbed_and_resumed(kind, directory, first=False):
    """A run without checkpoints; then resume(position): a model with everything else in it, from that checkpoint."""
    settings = dict(kind)
    of_run = {name: settings.pop(name) for name in ("streamed", "weights") if name in settings}
    keras.config.set_dtype_policy(settings.pop("policy", "float32"))
    try:
        whole = Run(network(**settings), **of_run)
        kept = directory / "kept"
        watched = Run(network(**settings), kept, first=first, **of_run)
        assert watched.equals(whole)
        model = network(**settings, seed=99)
    finally:
        keras.config.set_dtype_policy("float32")

    def resume(position):
        only = directory / f"{len(os.listdir(directory))}"
        only.mkdir()
        shutil.copy(kept / position.file_name, only)
        keras.utils.set_random_seed(1)  # which the script does that is started again
        for _ in range(7):
            random.random(), np.random.rand(), keras.random.uniform(()), keras_internals.operation_seeds().random()
        return Run(model, only, first=first, **of_run)

    return whole, [position for position, _ in checkpoint_file.listed(kept)], resume


# Of these CI goes on from every checkpoint; of the others from one in mid-epoch and the last, with -m long from each.
AT_EVERY_STEP = ("adam, dropout, normalisation", "accumulation in executions of 4", "stream")
OTHERS = [kind for kind in KINDS if kind not in AT_EVERY_STEP]


@pytest.mark.parametrize(
    ("kind", "everywhere"),
    [
        *((kind, True) for kind in AT_EVERY_STEP),
        *((kind, False) for kind in OTHERS),
        *(pytest.param(kind, True, marks=pytest.mark.long) for kind in OTHERS),
    ],
)
def test_resumed_at_every_step_is_the_same_training(kind, everywhere, tmp_path):
    whole, positions, resume = undisturbed_and_resumed(KINDS[kind], tmp_path, first="accumulation" in kind)
    size = KINDS[kind].get("steps_per_execution", 1)
    assert set(positions) == {(epoch, batch) for epoch in (0, 1) for batch in range(0, BATCHES, size)} - {(0, 0)} | {
        (2, 0)
    }
    for position in positions if everywhere else (positions[2], positions[-1]):
        assert resume(position).equals(whole), position


# --- Controls: a resume that leaves one thing out is seen ------------------------------------------------------------


def leave_out_the_data_position(monkeypatch):
    def skipping(of, *default):
        return next(of, *default) if isinstance(of, types.GeneratorType) else None  # which the data's iterators are not

    monkeypatch.setattr(keras_internals, "next", skipping, raising=False)


def leave_out(change):
    """A resume that puts `change(model, state)` of the variables' state back."""

    def patch(monkeypatch):
        whole = snapshot.restore
        monkeypatch.setattr(snapshot, "restore", lambda model, state: whole(model, {**state, **change(model, state)}))

    return patch


def present(*names):
    return lambda model, state: {name: snapshot.Snapshot(model).state()[name] for name in names}


def optimizer_without(left_out):
    def change(model, state):
        paths = [variable.path for variable in model.optimizer.variables]
        values = zip(paths, state["optimizer"], strict=True)
        return {"optimizer": [value * 0 if left_out(path) else value for path, value in values]}

    return leave_out(change)


LEFT_OUT = {
    "the data position": leave_out_the_data_position,
    "the slots": optimizer_without(lambda path: "iteration" not in path),
    "the counter": optimizer_without(lambda path: "iteration" in path),
    "the dropout's random numbers": leave_out(
        lambda model, state: {
            "model": [
                variable.numpy() if "seed" in variable.path else value
                for variable, value in zip(model.variables, state["model"], strict=True)
            ]
        }
    ),
    "the metrics": leave_out(lambda model, state: {"metrics": [value * 0 for value in state["metrics"]]}),
    "Python's random numbers": leave_out(present("python")),
    "NumPy's random numbers": leave_out(present("numpy")),
    "Keras's and TensorFlow's generators": leave_out(present("generators")),
    "the seeds of operations": leave_out(present("operations")),
}


@pytest.fixture(scope="module")
def one_to_resume(tmp_path_factory):
    whole, _, resume = undisturbed_and_resumed(KINDS["adam, dropout, normalisation"], tmp_path_factory.mktemp("one"))
    assert resume(checkpoint_file.Position(1, 4)).equals(whole)
    return whole, resume


@pytest.mark.parametrize("what", LEFT_OUT)
def test_a_resume_that_leaves_something_out_is_another_training(what, one_to_resume, monkeypatch):
    whole, resume = one_to_resume
    LEFT_OUT[what](monkeypatch)
    resumed = resume(checkpoint_file.Position(0, 3))
    with pytest.raises(AssertionError):
        resumed.equals(whole)


# --- Interrupted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("per_execution", "at"), [(1, (0, 5)), (4, (1, 4))])
def test_a_fit_cut_short_goes_on_in_a_new_model(per_execution, at, tmp_path):
    make = lambda: network("sgd", steps_per_execution=per_execution)  # noqa: E731
    with pytest.raises(Ended):
        Run(make(), tmp_path, EndAfter(*at), every="2steps")
    resumed = Run(make(), tmp_path, every="2steps")
    assert 0 < len(resumed.draws.drawn) < EPOCHS * BATCHES // per_execution
    assert resumed.equals(Run(make()))


@pytest.mark.parametrize("epoch", range(EPOCHS))
def test_saved_by_hand_when_only_the_evaluation_is_left(epoch, tmp_path):
    class Interrupted(EndAfter):
        def on_train_batch_end(self, batch, logs=None):
            try:
                super().on_train_batch_end(batch, logs)
            except Ended:
                self.keeper.save()
                raise

    last = Interrupted(epoch, BATCHES)
    last.keeper = sconv.Checkpoint(tmp_path, "9epochs")
    with pytest.raises(Ended):
        fit(network("sgd"), cycle(), last.keeper, last, validation_data=(X, Y))
    assert [tuple(position) for position, _ in checkpoint_file.listed(tmp_path)] == [(epoch, BATCHES)]
    model, other = network("sgd"), network("sgd")
    resumed = fit(model, cycle(), sconv.Checkpoint(tmp_path), validation_data=(X, Y))
    assert resumed.history == fit(other, cycle(), validation_data=(X, Y)).history
    assert [value.tobytes() for value in model.get_weights()] == [value.tobytes() for value in other.get_weights()]


SCRIPT = """
import os, signal, sys
import keras, numpy as np, sconv
directory, kill_at = sys.argv[1], int(sys.argv[2])
x = np.random.default_rng(0).normal(size=(400, 6)).astype("float32")
y = x @ np.arange(6, dtype="float32")[:, None]

class Killed(keras.callbacks.Callback):
    left = kill_at
    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def train(checkpoint):
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(16, "relu"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.1)]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(), "mse", metrics=["mae"])
    history = sconv.fit_one_cycle(
        model, (x, y), epochs=3, range_test={"max_steps": 200}, verbose=2, validation_data=(x, y),
        callbacks=[Killed()] if kill_at else [], checkpoint=checkpoint,
    )
    values = [variable.numpy().tobytes() for variable in [*model.variables, *model.optimizer.variables]]
    return values, history.history

keeper = sconv.Checkpoint(directory, every="7steps")
first = train(keeper)
assert first == train(None), "not the same training"
print("the same")
"""


@pytest.mark.slow
def test_a_script_that_is_killed_is_simply_started_again(tmp_path, environment):
    def script(kill_at):
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path), str(kill_at)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE)

    killed = script(20)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [tuple(position) for position, _ in checkpoint_file.listed(tmp_path)] == [(0, 7), (1, 1)]
    ran = script(0)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("lr_max") == 1  # of the undisturbed one alone
    assert "checkpoint: going on at epoch 2, batch 2" in ran.stdout
    assert ran.stdout.endswith("the same\n")


# --- What is in the directory -------------------------------------------------------------------------------------


def files(directory):
    return sorted(path.name for path in directory.iterdir())


def fit(model, *callbacks, epochs=EPOCHS, verbose=0, x=X, y=Y, batch_size=SIZE, **options):
    keras.utils.set_random_seed(1)
    return model.fit(x, y, epochs=epochs, batch_size=batch_size, verbose=verbose, callbacks=[*callbacks], **options)


def cycle(lr_max=0.05, **settings):
    return sconv.OneCycleScheduler(lr_max, **settings)


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    class Losses(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = (3.0, 1.0, 2.0, 4.0)[epoch]

    fit(network("sgd"), Losses(), cycle(0.2), sconv.Checkpoint(tmp_path, "2steps"), epochs=4, validation_data=(X, Y))
    assert files(tmp_path) == ["000002-00000000.npz", "000003-00000004.npz", "000004-00000000.npz"]


def test_every_interval(tmp_path, monkeypatch):
    now = iter(range(0, 10**6, 20))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    made = {}
    for every in ("2epochs", "4 steps", "1min", ["1epoch", "5steps"]):
        directory = tmp_path / str(every)
        fit(network("sgd"), sconv.Checkpoint(directory, every, keep=99), epochs=2)
        made[str(every)] = [tuple(position) for position, _ in checkpoint_file.listed(directory)]
    assert made["2epochs"] == [(2, 0)]
    assert made["4 steps"] == [(0, 4), (1, 2), (2, 0)]
    assert made["['1epoch', '5steps']"] == [(0, 5), (1, 0), (1, 5), (2, 0)]
    # The clock moves by 20 s whenever it is looked at: after each step, and after each checkpoint.
    assert made["1min"] == [(0, 3), (1, 0), (1, 3), (2, 0)]


@pytest.mark.parametrize("wrong", ["5", "0steps", "1.5epochs", "5 min ", "-1steps", "epoch", 5, None, [3]])
def test_intervals_that_are_none(wrong, tmp_path):
    with pytest.raises((ValueError, TypeError), match=r"^every: got .*expected one or a list of"):
        sconv.Checkpoint(tmp_path, wrong)


def test_a_finished_fit_is_not_trained_again(tmp_path, capsys):
    first = Run(network("averaging"), tmp_path)
    again = Run(network("averaging"), tmp_path)
    assert again.draws.drawn == []
    assert again.equals(first)
    before = files(tmp_path)
    model = network("averaging")
    # Whichever of the two comes first.
    history = fit(model, sconv.Checkpoint(tmp_path / "own"), cycle(), validation_data=(X, Y))
    for callbacks in ([sconv.Checkpoint(tmp_path / "own"), cycle()], [cycle(), sconv.Checkpoint(tmp_path / "own")]):
        other = network("averaging")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert fit(other, *callbacks, verbose=2, validation_data=(X, Y)).history == history.history
        told = capsys.readouterr().out
        assert "checkpoint: this fit is finished" in told
        assert "Epoch" not in told
        assert np.array_equal(callbacks[0].lrs if hasattr(callbacks[0], "lrs") else callbacks[1].lrs, first.driver.lrs)
        for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
            assert np.array_equal(ours, theirs)
    # And a plain fit begins at its beginning.
    assert fit(model, epochs=1).epoch == [0]
    assert [name for name in files(tmp_path) if name != "own"] == before


DIFFERENT = {
    "epochs: got 3, expected 2": {"epochs": 3},
    "steps_per_epoch: got 12, expected 6": {"batch_size": 4},
    "steps_per_epoch: got 3, expected 6": {"x": X[:24], "y": Y[:24]},
    "steps_per_execution: got 2, expected 1": {"steps_per_execution": 2},
    "optimizer: got 'Adam', expected 'SGD'": {"optimizer": "adam"},
    "model: got .* float32 (6, 9), expected the checkpoint's float32 (6, 8)": {"width": 9},
    "lr_max: got 0.04.*, expected 0.05": {"lr_max": 0.04},
    "phases: got ": {"phase_1_pct": 0.4},
    "schedule: got None, expected 'onecycle_fastai'": {"plain": True},
}


@pytest.fixture(scope="module")
def cut_short(tmp_path_factory):
    """The checkpoints of a fit that was ended in its first epoch; nothing writes into them."""
    directory = tmp_path_factory.mktemp("cut_short")
    with pytest.raises(Ended):
        fit(network("sgd"), cycle(), sconv.Checkpoint(directory, "2steps"), EndAfter(0, 4))
    return directory


@pytest.mark.parametrize("message", DIFFERENT)
def test_another_fit_is_refused_in_one_line(message, cut_short):
    before = files(cut_short)
    options = dict(DIFFERENT[message])
    made = {name: options.pop(name) for name in ("width", "optimizer", "steps_per_execution") if name in options}
    policy = {name: options.pop(name) for name in ("lr_max", "phase_1_pct") if name in options}
    callbacks = [sconv.Checkpoint(cut_short)] + ([] if options.pop("plain", False) else [cycle(**policy)])
    with pytest.raises(ValueError, match="^" + message.replace("(", r"\(").replace(")", r"\)")) as caught:
        fit(network(**{"optimizer": "sgd", **made}), *callbacks, **options)
    assert "\n" not in str(caught.value)
    assert files(cut_short) == before


# --- The file -----------------------------------------------------------------------------------------------------

STATE = {
    "plain": {
        "none": None,
        "yes": True,
        "whole": 2**80,
        "share": 0.1,
        "nan": [float("nan"), float("inf")],
        "word": "ü",
    },
    "arrays": [np.arange(6, dtype=np.int64).reshape(2, 3).T, np.array(3, np.float32), np.zeros((0, 2), np.uint8)],
    "half": tf.cast([1.5, -2.25], tf.bfloat16).numpy(),
    "scalar": np.float32(0.1),
}


def test_a_file_gives_back_what_was_saved(tmp_path):
    path = tmp_path / "000001-00000002.npz"
    checkpoint_file.save(path, STATE)
    state = checkpoint_file.load(path)
    assert json.dumps(state["plain"]) == json.dumps(STATE["plain"])
    assert state["scalar"] == float(np.float32(0.1))
    for loaded, saved in zip([*state["arrays"], state["half"]], [*STATE["arrays"], STATE["half"]], strict=True):
        assert (loaded.dtype, loaded.shape, loaded.tobytes()) == (saved.dtype, saved.shape, saved.tobytes())
    assert files(tmp_path) == [path.name]


def test_every_bit_counts(tmp_path):
    path = tmp_path / "000001-00000002.npz"
    checkpoint_file.save(path, STATE)
    content = path.read_bytes()
    damaged = [content[:end] for end in (0, 1, len(content) // 2, len(content) - 1)] + [content + b"\0"]
    places = range(0, len(content), 7)
    damaged += [content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :] for at in places]
    for each in damaged:
        path.write_bytes(each)
        with pytest.raises(OSError, match=r"^checkpoint: .* is damaged \("):
            checkpoint_file.load(path)


def test_nothing_in_a_file_is_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    path = tmp_path / "000001-00000002.npz"
    with pytest.raises(ValueError, match="allow_pickle"):
        checkpoint_file.save(path, {"object": np.array([Evil()], object)})
    whole, savez = checkpoint_file.np.load, np.savez

    def with_pickles(file, allow_pickle, **members):
        savez(file, allow_pickle=True, **members)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(np, "savez", with_pickles)
        checkpoint_file.save(path, {"object": np.array([Evil()], object)})
    with pytest.raises(OSError, match="is damaged"):
        checkpoint_file.load(path)
    whole(path, allow_pickle=True)["0"]  # so would it have been
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: content.replace(b"\0", b"\1", 1)])
def test_the_one_before_a_damaged_one_is_used(damage, tmp_path):
    with pytest.raises(Ended):
        Run(network("sgd"), tmp_path, EndAfter(1, 3), keep=2)
    (*_, (before, _), (_, newest)) = checkpoint_file.listed(tmp_path)
    assert before == (1, 1)
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{newest.name} is damaged.*going on from .*{before.file_name}") as caught:
        resumed = Run(network("sgd"), tmp_path, keep=2)
    assert len(caught) == 1
    assert len(resumed.draws.drawn) == BATCHES - 1
    assert resumed.equals(Run(network("sgd")))
    for _, path in checkpoint_file.listed(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(OSError, match=r"000002-00000000.npz is damaged.*remove them to begin anew$"):
        Run(network("sgd"), tmp_path)


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_full_disk_is_told_and_leaves_the_last_good_one(call, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                monkeypatch.setattr(os, call, full)

    with pytest.raises(OSError, match=r"^checkpoint: cannot write .*: No space left on device$"):
        Run(network("sgd"), tmp_path, Full())
    monkeypatch.undo()
    assert files(tmp_path) == [f"000000-0000000{batch}.npz" for batch in (1, 2, 3)]
    (tmp_path / ".000000-00000004.npz.tmp").write_bytes(b"half")  # as a kill would leave it
    assert Run(network("sgd"), tmp_path, keep=1).equals(Run(network("sgd")))
    assert not [name for name in files(tmp_path) if name.startswith(".")]


def test_what_is_no_number_any_more_is_not_kept(tmp_path):
    x = X.copy()
    x[20] = np.nan
    history = fit(network("sgd"), cycle(), sconv.Checkpoint(tmp_path, ["1step", "1epoch"], keep=99), x=x)
    assert np.isnan(history.history["loss"][-1])
    for _, path in checkpoint_file.listed(tmp_path):
        assert all(np.isfinite(value).all() for value in checkpoint_file.load(path)["variables"]["model"])


# --- Data -----------------------------------------------------------------------------------------------------------


def batches():
    return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(50, seed=1).batch(SIZE)


@pytest.mark.parametrize("data", ["tf.data", "unseeded arrays", "steps_per_epoch"])
def test_data_that_cannot_be_begun_in_mid_epoch_goes_on_at_an_epoch(data, tmp_path):
    def run(*callbacks):
        keeper = sconv.Checkpoint(tmp_path, "1step", keep=99)
        model = network("sgd")
        if data == "unseeded arrays":
            tf.random.set_seed(None)
        x, options = (batches(), {}) if data == "tf.data" else (X, {"y": Y, "batch_size": SIZE})
        options["shuffle"] = data != "tf.data"
        options["steps_per_epoch"] = 3 if data == "steps_per_epoch" else None
        with pytest.warns(UserWarning, match=r"^Checkpoint: this data cannot be begun in mid-epoch") as caught:
            history = model.fit(x, epochs=3, verbose=0, callbacks=[cycle(), keeper, *callbacks], **options)
        assert len([each for each in caught if "Checkpoint" in str(each.message)]) == 1
        return history

    try:
        with pytest.raises(Ended):
            run(EndAfter(1, 2))
        assert files(tmp_path) == ["000001-00000000.npz"]
        assert run().epoch == [0, 1, 2]
    finally:
        keras.utils.set_random_seed(0)


@pytest.mark.parametrize("form", ["arrays", "Dataset"])
def test_fit_one_cycle_finds_lr_max_once(form, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sconv.fit.lr_find", lambda *_, **__: types.SimpleNamespace(suggestion=0.03, rule="smith"))
    split = Split(IMAGES, Y)
    data = Dataset("made", split, split, ("a", "b")) if form == "Dataset" else (IMAGES, Y)

    def run(checkpoint, *callbacks, **changed):
        model = network("sgd", images=True)
        options = {"epochs": 2, "batch_size": SIZE, "verbose": 2, "callbacks": [*callbacks], **changed}
        history = sconv.fit_one_cycle(model, data, validation_data=(IMAGES, Y), checkpoint=checkpoint, **options)
        return history.history, [value.tobytes() for value in _variables(model, "model")]

    whole = run(None)
    with pytest.raises(Ended):
        run(sconv.Checkpoint(tmp_path, "2steps"), EndAfter(0, 5))
    assert capsys.readouterr().out.count("lr_max 0.03 (smith)") == 2
    for changed, message in (
        ({"lr_max": 9.0}, "lr_max: got 9.0, expected 0.03"),
        ({"batch_size": 4}, "batch_size: got 4"),
    ):
        with pytest.raises(ValueError, match=message):
            run(tmp_path, **changed)
    capsys.readouterr()
    assert run(str(tmp_path)) == whole
    told = capsys.readouterr().out
    assert "going on at epoch 1, batch 5" in told
    assert "lr_max" not in told


def test_a_loop_of_your_own(tmp_path):
    class Seen(keras.callbacks.Callback):
        """What there is when the fifth batch begins, and what the next random numbers are."""

        def on_train_batch_begin(self, batch, logs=None):
            if batch == 4:
                self.values = [value.tobytes() for value in _variables(self.model, "model")]
                self.drawn = random.random(), keras.random.uniform(()).numpy()

    model, seen = network("adam"), Seen()
    with pytest.raises(Ended):
        fit(model, seen, sconv.Checkpoint(tmp_path, "2steps"), EndAfter(0, 5))
    (earlier, later) = [path for _, path in checkpoint_file.listed(tmp_path)]
    assert restore(model, later) == (0, 4)
    assert [value.tobytes() for value in _variables(model, "model")] == seen.values
    assert (random.random(), keras.random.uniform(()).numpy()) == seen.drawn
    assert restore(model, earlier) == (0, 2)
    assert [value.tobytes() for value in _variables(model, "model")] != seen.values
    keeper = sconv.Checkpoint(tmp_path)
    keeper.set_model(model)
    with pytest.raises(ValueError, match="got a training loop of its own"):
        keeper.on_train_begin()
