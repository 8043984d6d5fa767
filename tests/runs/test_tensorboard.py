"""What a real TensorBoard shows of several runs: asked over HTTP, and looked at in Chromium."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from sconv import runs

pytestmark = pytest.mark.slow  # starts a server and a browser

SCHEDULES = ("baseline", "onecycle")
# All text of the page, also inside the components that TensorBoard hides it in.
TEXT = """
const text = node => (node.nodeType === 3 ? node.data + "\\n" : "") +
  (["SCRIPT", "STYLE"].includes(node.nodeName) ? "" :
    [...(node.shadowRoot ? node.shadowRoot.childNodes : []), ...node.childNodes].map(text).join(""));
return text(document.body)
"""
# What the boxes that are ticked say, also inside components.
TICKED = """
const below = node => [...node.querySelectorAll("*")];
const all = node => below(node).flatMap(one => [one, ...(one.shadowRoot ? all(one.shadowRoot) : [])]);
const boxes = all(document).filter(one => one.localName === "paper-checkbox" && one.checked);
return boxes.map(one => one.innerText.trim()).filter(said => said)
"""


def get(url, body=None):
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def wait_for(url, ready, seconds):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            answer = get(url)
            if ready(answer):
                return answer
        time.sleep(0.2)
    raise AssertionError(f"{url}: nothing came in {seconds} seconds")


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sweep(train, tmp_path_factory):
    """The directory of two runs that differ in schedule and lr_max."""
    folder = tmp_path_factory.mktemp("sweep")
    for number, schedule in enumerate(SCHEDULES):
        train(f"schedule={schedule}", f"lr_max=0.{number + 1}", into=folder / f"{number}-{schedule}")
    return folder


@pytest.fixture(scope="module")
def tensorboard(sweep, environment):
    """The address of a TensorBoard that shows the sweep."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(sweep), "--port=0", "--bind_all"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    # Should it say nothing for too long, it ends, and so does reading what it says.
    patience = threading.Timer(120, server.kill)
    patience.start()
    try:
        port = next((match[1] for line in server.stderr if (match := re.search(r"http://[^:]+:(\d+)/", line))), None)
        assert port, "TensorBoard did not start"
        address = f"http://localhost:{port}"
        last = runs.find(sweep)[-1].name
        wait_for(f"{address}/data/plugin/scalars/tags", lambda found: last in found, 60)
        yield address
    finally:
        patience.cancel()
        server.kill()
        server.communicate()


def test_learning_rate_and_momentum_of_each_step(tensorboard, sweep):
    tags = get(f"{tensorboard}/data/plugin/scalars/tags")
    epochs = {f"epoch_{name}/{split}" for name in ("loss", "accuracy") for split in ("train", "test")}
    assert set(tags) == {run.name for run in runs.find(sweep)}  # one entry a run
    for run in runs.find(sweep):
        assert set(tags[run.name]) == {"learning_rate", "momentum", "loss", *epochs}
        for tag in ("learning_rate", "momentum", "loss"):
            points = get(f"{tensorboard}/data/plugin/scalars/scalars?run={run.name}&tag={tag}")
            written = [(int(row["step"]), float(row[tag])) for row in rows(run / "steps.csv")]
            assert [step for _, step, _ in points] == [step for step, _ in written]
            assert [value for _, _, value in points] == pytest.approx([value for _, value in written], rel=1e-6)


def test_hparams_hold_the_knobs_and_the_metrics(tensorboard, sweep):
    asked = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [],
        "startIndex": 0,
        "sliceSize": 100,
    }
    groups = get(f"{tensorboard}/data/plugin/hparams/session_groups", json.dumps(asked).encode())["sessionGroups"]
    by_name = {group["sessions"][0]["name"]: group for group in groups}
    assert set(by_name) == {run.name for run in runs.find(sweep)}
    for number, (name, group) in enumerate(sorted(by_name.items())):
        knobs = group["hparams"]
        assert (knobs["schedule"], knobs["lr_max"], knobs["model"]) == (SCHEDULES[number], (number + 1) / 10, "mlp")
        assert group["sessions"][0]["status"] == "STATUS_SUCCESS"
        found = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
        last = rows(sweep / name / "epochs.csv")[-1]
        assert found["epoch_accuracy/test"] == pytest.approx(float(last["val_accuracy"]))
        assert found["epoch_loss/test"] == pytest.approx(float(last["val_loss"]))


def until(browser, ready):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 60).until(lambda _: ready())


def text(browser, *wanted):
    """The page's text, once all that is wanted is in it."""

    def ready():
        said = browser.execute_script(TEXT)
        return said if all(word in said for word in wanted) else None

    return until(browser, ready)


def test_the_printed_link_opens_the_cycle_unsmoothed(chromium, tensorboard, sweep):
    address = runs.CYCLE.replace("http://localhost:6006", tensorboard)
    assert address != runs.CYCLE
    chromium.get(address)
    text(chromium, *(run.name for run in runs.find(sweep)))
    cards = "return [...document.querySelectorAll('scalar-card')].map(card => card.innerText)"

    def shown():
        return [card.split("\n")[0] for card in chromium.execute_script(cards)]

    # One chart of each, whatever the number of runs.
    until(chromium, lambda: shown() == ["learning_rate", "momentum"])
    # A smoothed chart has its values in two columns.
    assert not any("Smoothed" in card for card in until(chromium, lambda: chromium.execute_script(cards)))
    chromium.get("about:blank")
    chromium.get(address.replace("smoothing=0", "smoothing=0.5"))
    until(chromium, lambda: all("Smoothed" in card for card in chromium.execute_script(cards) or [""]))


def test_training_and_evaluation_share_a_chart(tensorboard, sweep):
    (category,) = get(f"{tensorboard}/data/plugin/custom_scalars/layout")["category"]
    for chart in category["chart"]:
        (pattern,) = chart["multiline"]["tag"]
        for run in runs.find(sweep):
            drawn = get(f"{tensorboard}/data/plugin/custom_scalars/scalars?run={run.name}&tag={pattern}")[
                "tag_to_events"
            ]
            columns = {"train": chart["title"], "test": f"val_{chart['title']}"}
            assert {tag: [value for _, _, value in points] for tag, points in drawn.items()} == {
                f"epoch_{chart['title']}/{split}": pytest.approx(
                    [float(row[column]) for row in rows(run / "epochs.csv")]
                )
                for split, column in columns.items()
            }
    assert [chart["title"] for chart in category["chart"]] == ["accuracy", "loss"]


def test_the_table_of_hparams(chromium, tensorboard, sweep):
    chromium.get(f"{tensorboard}/#hparams")
    said = text(chromium, "test accuracy", *SCHEDULES)
    assert chromium.execute_script(TICKED)[:5] == ["epochs", "lr_max", "model", "schedule", "seed"]
    for run in runs.find(sweep):
        assert run.name in said
        assert f"{float(rows(run / 'epochs.csv')[-1]['val_accuracy']):.5g}" in said
