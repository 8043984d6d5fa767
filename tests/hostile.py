"""What tests of strangers' files share: an end to what hangs, and values and bytes that nobody expects."""

from __future__ import annotations

import contextlib
import copy
import os
import signal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# How many times as many cases as in CI: SCONV_FUZZ=50 takes about an hour.
TIMES = int(os.environ.get("SCONV_FUZZ", "1"))
SCALARS = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.5, 1.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf")),
    *(
        2**31,
        2**63,
        -(2**64),
        10**400,
        "",
        " ",
        "x",
        "0.5",
        "null",
        "???",
        "a=b",
        "\0",
        "\n",
        "\x1b[2J",
        "[/a]",
        "é" * 300,
    ),
    *("../..", "~nobody/x", "/dev/zero", "os.system", "sconv.datasets", "sconv.checks.number", "=1", "$x$", "<b>"),
    *([], {}, [1, 2], ["a"], [[]], {"a": 1}, {"_target_": "os.getcwd"}, [None]),
)
PIECES = (
    *(
        b"",
        b"\0",
        b"\xff",
        b"\n",
        b",",
        b",,,",
        b'"',
        b"[",
        b"{",
        b"]",
        b"}",
        b":",
        b" ",
        b"-",
        b"#",
        b"*a",
        b"&a ",
        b"!",
    ),
    *(b"1" * 401, b"1e999", b"NaN", b"Infinity", b"-1", b"0", b"null", b"true", b"[]", b"{}", b'"x"', b"\x1b[2J"),
    *(b"!!python/name:os.system ", b"${oc.env:HOME}", b"~", b"1:59:59", b"2020-99-99", b"\xe2\x80\xae", bytes(64)),
)


def fuzzed(cases: int):
    """Settings of a test of so many cases in CI, the same ones every time; others, and more, where SCONV_FUZZ says."""
    return settings(
        max_examples=cases * TIMES,
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def damaged(draw, content: bytes):
    """Bytes with some others in the place of some, or cut short."""
    out = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at, length = draw(st.integers(0, len(out))), draw(st.integers(0, 12))
        out[at : at + length] = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=12)))
    return bytes(out[: draw(st.integers(0, len(out)))] if draw(st.integers(0, 9)) == 0 else out)


def places(value, at=()):
    """Where something stands in nested mappings and lists, mappings and lists themselves among it."""
    if at:
        yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield from places(each, (*at, key))


@st.composite
def odd(draw, value, scalars=SCALARS):
    """Nested mappings and lists with another value in one or two places, or without it."""
    out = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 2))):
        known = list(places(out))
        *nodes, last = known[draw(st.integers(0, len(known) - 1))]
        node = out
        for key in nodes:
            node = node[key]
        if draw(st.integers(0, 9)) == 0:
            del node[last]
        else:
            node[last] = copy.deepcopy(scalars[draw(st.integers(0, len(scalars) - 1))])
        if not out:
            break
    return out


@contextlib.contextmanager
def alarm(seconds):
    """Raise in what hangs."""

    def stop(*_):
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def one_line(*allowed, line=str, seconds=60):
    """Let pass what is done well, and an error of a kind that is allowed, told in one `line`; nothing else."""
    try:
        with alarm(seconds):
            yield
    except allowed as error:
        check_told(line(error))


def check_told(said):
    """One line, and not an empty one."""
    assert said
    assert "\n" not in said
