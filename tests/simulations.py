"""NumPy simulations (float64) of what an optimizer does under a table of learning rates and momenta.

Written from the papers' formulas with Keras's documented constants; nothing here calls Keras or sconv. The problem is
a linear regression of three inputs and a bias: ten batches of four an epoch, always in the same order.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Weights = list[np.ndarray]
Batch = tuple[np.ndarray, np.ndarray]
Rule = Callable[[np.ndarray, np.ndarray, dict[str, Any], int, float, float], np.ndarray]

BATCH = 4
PER_EPOCH = 10
TOLERANCE = 2e-5
HELD = (0.95, 0.9, 0.85)
START: Weights = [np.array([[0.5], [-0.3], [0.8]], np.float32), np.array([0.1], np.float32)]

_random = np.random.default_rng(7)
X = _random.normal(size=(BATCH * PER_EPOCH, 3)).astype(np.float32)
Y = (X @ [[1.0], [-2.0], [0.5]] + 0.7 + _random.normal(size=(len(X), 1))).astype(np.float32)
# Small whole numbers: with the linear loss, all that is computed in 16 bits is exact.
X16 = _random.integers(-1, 2, size=X.shape).astype(np.float32)
Y16 = _random.integers(-4, 5, size=Y.shape).astype(np.float32)


def batches(x: np.ndarray = X, y: np.ndarray = Y, size: int = BATCH) -> list[Batch]:
    """One epoch."""
    return [(x[at : at + size], y[at : at + size]) for at in range(0, len(x), size)]


def mse_gradient(weights: Weights, batch: Batch) -> Weights:
    """Of mean((x w + b - y)^2)."""
    x, y = (part.astype(np.float64) for part in batch)
    error = x @ weights[0] + weights[1] - y
    return [2 * x.T @ error / len(x), 2 * error.mean(axis=0)]


def linear_gradient(weights: Weights, batch: Batch) -> Weights:
    """Of mean(y (x w + b)): it does not depend on the weights, so 16-bit predictions cost nothing."""
    x, y = (part.astype(np.float64) for part in batch)
    return [x.T @ y / len(x), y.mean(axis=0)]


def sgd(w, g, slots, t, lr, momentum):
    """Polyak's heavy ball."""
    v = slots["v"] = momentum * slots.get("v", 0.0) - lr * g
    return w + v


def nesterov(w, g, slots, t, lr, momentum):
    """Nesterov's momentum as Sutskever et al. (2013) write it, at the looked-ahead weights."""
    v = slots["v"] = momentum * slots.get("v", 0.0) - lr * g
    return w + momentum * v - lr * g


def rmsprop(w, g, slots, t, lr, momentum, rho=0.9, epsilon=1e-7):
    """Hinton (2012), with momentum as Graves (2013) adds it."""
    s = slots["s"] = rho * slots.get("s", 0.0) + (1 - rho) * g**2
    v = slots["v"] = momentum * slots.get("v", 0.0) + lr * g / np.sqrt(s + epsilon)
    return w - v


def adam(w, g, slots, t, lr, beta_1, beta_2=0.999, epsilon=1e-7):
    """Kingma and Ba (2015), with the epsilon-hat of the end of their section 2."""
    m = slots["m"] = beta_1 * slots.get("m", 0.0) + (1 - beta_1) * g
    v = slots["v"] = beta_2 * slots.get("v", 0.0) + (1 - beta_2) * g**2
    return w - lr * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)


def adamw(w, g, slots, t, lr, beta_1, decay=0.2):
    """Loshchilov and Hutter (2019): the decay is decoupled, and scaled by the learning rate."""
    return adam(w - lr * decay * w, g, slots, t, lr, beta_1)


def nadam(w, g, slots, t, lr, beta_1, beta_2=0.999, epsilon=1e-7):
    """Dozat (2016), algorithm 2 with his momentum warm-up."""
    mu, mu_next = (beta_1 * (1 - 0.5 * 0.96**k) for k in (t, t + 1))
    product = slots["product"] = slots.get("product", 1.0) * mu
    m = slots["m"] = beta_1 * slots.get("m", 0.0) + (1 - beta_1) * g
    v = slots["v"] = beta_2 * slots.get("v", 0.0) + (1 - beta_2) * g**2
    m_hat = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
    return w - lr * m_hat / (np.sqrt(v / (1 - beta_2**t)) + epsilon)


def lion(w, g, slots, t, lr, beta_1, beta_2=0.99):
    """Chen et al. (2023)."""
    m = slots.get("m", 0.0)
    slots["m"] = beta_2 * m + (1 - beta_2) * g
    return w - lr * np.sign(beta_1 * m + (1 - beta_1) * g)


def lamb(w, g, slots, t, lr, beta_1, beta_2=0.999, epsilon=1e-7):
    """You et al. (2020), without weight decay."""
    m = slots["m"] = beta_1 * slots.get("m", 0.0) + (1 - beta_1) * g
    v = slots["v"] = beta_2 * slots.get("v", 0.0) + (1 - beta_2) * g**2
    r = m / (1 - beta_1**t) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
    return w - lr * np.linalg.norm(w) / np.linalg.norm(r) * r


def adamax(w, g, slots, t, lr, beta_1, beta_2=0.999, epsilon=1e-7):
    """Kingma and Ba (2015), algorithm 2."""
    m = slots["m"] = beta_1 * slots.get("m", 0.0) + (1 - beta_1) * g
    u = slots["u"] = np.maximum(beta_2 * slots.get("u", 0.0), np.abs(g))
    return w - lr / (1 - beta_1**t) * m / (u + epsilon)


def muon(w, g, slots, t, lr, momentum):
    """Jordan (2024), with Moonlight's scale 0.2 sqrt(max(n, m)); Adam (beta_1 0.9, unmoved) for a vector."""
    if w.ndim != 2:
        return adam(w, g, slots, t, lr, 0.9)
    m = slots["m"] = momentum * slots.get("m", 0.0) + g
    o = (g + momentum * m).T
    o = o / (np.linalg.norm(o) + 1e-7)
    for _ in range(5):
        a = o @ o.T
        o = 3.4445 * o + (-4.7750 * a + 2.0315 * a @ a) @ o
    return w - lr * 0.2 * np.sqrt(max(w.shape)) * o.T


Segment = tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, list[Batch]]


def plain(updates: int, lr: float, momentum: float) -> Segment:
    """A fit without a schedule, under the user's own values."""
    return np.full(updates, lr), np.full(updates, momentum)


def simulate(rule: Rule, *segments: Segment, gradient: Callable[[Weights, Batch], Weights] = mse_gradient) -> Weights:
    """The weights after training through the segments in turn, each from the first of `batches()`, or of its own."""
    weights = [part.astype(np.float64) for part in START]
    slots: list[dict[str, Any]] = [{} for _ in weights]
    t = 0
    for lrs, momenta, *rest in segments:
        data = rest[0] if rest else batches()
        for at, (lr, momentum) in enumerate(zip(lrs, momenta, strict=True)):
            t += 1
            gradients = gradient(weights, data[at % len(data)])
            state = zip(weights, gradients, slots, strict=True)
            weights = [rule(w, g, slot, t, lr, momentum) for w, g, slot in state]
    return weights


def distance(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """The largest difference of any weight."""
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def check(weights: Weights, rule: Rule, *segments: Segment, tolerance: float = TOLERANCE, **kwargs: Any) -> None:
    """Hold that training ended where the simulation does, and that it could not have under a momentum held constant."""
    expected = simulate(rule, *segments, **kwargs)
    assert distance(weights, expected) < tolerance, f"got {weights}, expected {expected}"
    for value in HELD:
        held = [(lrs, np.full_like(m, value) if np.ptp(m) else m, *rest) for lrs, m, *rest in segments]
        gap = distance(weights, simulate(rule, *held, **kwargs))
        assert gap > 100 * tolerance, f"momentum held at {value} ends only {gap:.2g} away: this problem shows nothing"
