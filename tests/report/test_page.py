"""report.html in a real browser: Chromium without a head, a fresh profile, and nothing but the file."""

import contextlib
import itertools
import json
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

import fabricate
from sconv.report import curves, page, wording
from sconv.report.comparison import compare
from sconv.report.groups import gather

pytestmark = pytest.mark.slow  # trains or builds large models, or starts a browser

NASTY = "</script><script>document.title='taken'</script><img src=x onerror=document.title='taken'><b>&amp;|@$x"


@pytest.mark.slow
def test_a_hundred_runs_of_three_hundred_epochs_stay_under_five_megabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(fabricate, "STEPS_AN_EPOCH", 2)
    root = fabricate.sweep(tmp_path, seeds=2, groups=50, epochs=300)
    path = page.write(compare(gather([root])[0]), tmp_path)
    assert path.stat().st_size < 5_000_000


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    root = fabricate.sweep(tmp_path_factory.mktemp("sweep"), seeds=4, groups=4, epochs=20)
    for seed in range(2):
        fabricate.run(root / f"nasty{seed}", [0.5] * 20, seed=seed, settings={"optimizer.momentum": NASTY})
    return root


@pytest.fixture(scope="module")
def report(sweep, tmp_path_factory):
    return page.write(compare(gather([sweep])[0]), tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def budgets(tmp_path_factory):
    """A page with a budget chart: 1, 2 and 4 epochs; the cycle ends where the baseline does after twice as many."""
    root = tmp_path_factory.mktemp("budgets")
    for schedule, ends in {"baseline": [0.5, 0.6, 0.7], "onecycle": [0.6, 0.7, 0.8]}.items():
        for epochs, end in zip((1, 2, 4), ends, strict=True):
            for seed in range(3):
                curve = [0.3] * (epochs - 1) + [end + 0.01 * (seed - 1)]
                fabricate.run(root / f"{schedule}{epochs}{seed}", curve, seed=seed, schedule=schedule)
    return page.write(compare(gather([root])[0]), root)


READY = "return charts().length === 5 && charts().every((one) => viewOf(one)?.canvas_view.events_el.tabIndex === -1)"


@pytest.fixture
def browser(chromium, report):
    """The page, drawn."""
    chromium.get_log("browser"), chromium.get_log("performance")
    chromium.get(report.as_uri())
    until(chromium, READY)
    yield chromium
    # Whatever a test did, the page complained of nothing and asked nobody for anything.
    assert [entry for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert chromium.title == "sconv report"


def wait(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(condition)


def until(browser, condition):
    return wait(browser, lambda driver: driver.execute_script(condition))


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def column(browser, heading):
    headings = [head.text.strip(" ▲▼\n") for head in find(browser, "#results thead th")]
    rows = find(browser, "#results tbody tr")
    return [row.find_elements("css selector", "th, td")[headings.index(heading)].text for row in rows]


def click_heading(browser, heading):
    (button,) = [one for one in find(browser, "#results thead button") if one.text == heading]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", button)
    button.click()


def test_nothing_is_asked_of_a_network(browser, report):
    browser.refresh()
    until(browser, "return charts().length === 5")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert report.as_uri() in urls
    assert [url for url in urls if not re.match("file:|data:|blob:", url)] == []


def test_no_script_or_style_comes_from_elsewhere(report):
    text = report.read_text()
    assert re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", text) == []
    assert "default-src 'none'" in text


def test_a_click_on_a_heading_sorts_and_a_second_turns_round_and_no_number_comes_last(browser):
    click_heading(browser, "test acc %")
    numbers = [float(text.split()[0]) for text in column(browser, "test acc %")]
    assert numbers == sorted(numbers)
    click_heading(browser, "test acc %")
    assert [float(text.split()[0]) for text in column(browser, "test acc %")] == numbers[::-1]
    for _ in range(2):
        click_heading(browser, "speedup (steps)")
        texts = column(browser, "speedup (steps)")
        assert "-" in texts
        assert texts[texts.index("-") :] == ["-"] * texts.count("-")
    click_heading(browser, "group")
    names = [name.split()[0] for name in column(browser, "group")]
    assert names == ["baseline", "baseline", "cosine", "onecycle", "onecycle_fastai"]


SHOWN = "return charts()[0].renderers.filter((one) => one.name === 'group1' && one.visible).length"


def test_a_click_on_a_group_takes_its_lines_off_every_chart_and_another_brings_them_back(browser):
    drawn = browser.execute_script(SHOWN)
    assert drawn == 3
    before = pixels(browser)
    (chip,) = find(browser, ".chip[data-group='1']")
    chip.click()
    until(browser, SHOWN + " === 0")
    every = (
        "const expected = (one) => one.name.startsWith('group') && one.name !== 'group1';"
        "return charts().every((chart) => chart.renderers.every((one) => one.visible === expected(one)))"
    )
    assert browser.execute_script(every)
    assert "off" in find(browser, "tr[data-group='1']")[0].get_attribute("class")
    assert pixels(browser) != before
    chip.click()
    until(browser, SHOWN + " === 3")
    find(browser, "#none")[0].click()
    assert browser.execute_script("return charts().every((c) => c.renderers.every((one) => !one.visible))")


def pixels(browser):
    """The first chart as it looks, a moment after it was last told to change."""
    browser.execute_async_script(
        "const done = arguments[0]; setTimeout(() => requestAnimationFrame(() => done()), 300)"
    )
    return find(browser, "#val_accuracy .bk-Figure")[0].screenshot_as_png


def test_each_seed_has_a_line_of_its_own_when_asked_for(browser):
    before = pixels(browser)
    find(browser, "#seeds")[0].click()
    assert browser.execute_script("return charts()[0].renderers.find((one) => one.name === 'seeds0').visible")
    assert pixels(browser) != before


def test_axes_turn_logarithmic_and_back(browser):
    before = pixels(browser)
    place = "const c = chartOf('val_accuracy'); const at = (s) => Bokeh.index.find_one(c).frame.y_scale.compute(s);"
    middle = place + "return (at(0.5) - at(0.25)) / (at(0.75) - at(0.5))"
    assert browser.execute_script(middle) == pytest.approx(1)
    (box,) = find(browser, "#val_accuracy .logy")
    box.click()
    # log(0.5 / 0.25) / log(0.75 / 0.5)
    until(browser, f"const ratio = (() => {{{middle}}})(); return Math.abs(ratio - 1.7095) < 1e-3")
    changed = pixels(browser)
    assert changed != before
    find(browser, "#logx")[0].click()
    assert pixels(browser) != changed
    box.click()
    find(browser, "#logx")[0].click()
    until(browser, f"const ratio = (() => {{{middle}}})(); return Math.abs(ratio - 1) < 1e-6")


def test_curves_go_over_steps_epochs_and_seconds(browser):
    for over, last in (("seconds", 40), ("epoch", 20), ("step", 400)):
        find(browser, f"#over option[value={over}]")[0].click()
        for name in ("learning_rate", "val_accuracy"):
            end = f"chartOf('{name}').x_range.end"
            until(browser, f"return Math.abs({end} - {last}) < 0.06 * {last}")


def point_at(browser, group):
    """Bring the mouse to the accuracy of a group at its tenth epoch; returns where that is."""
    from selenium.webdriver.common.action_chains import ActionChains

    spot = (
        "const view = Bokeh.index.find_one(chartOf('val_accuracy')), all = view.model.renderers;"
        f"const r = all.find((one) => one.name === '{group}' && one.data_source.data.val_accuracy);"
        "const box = view.el.getBoundingClientRect(), d = r.data_source.data, i = 9;"
        "return [box.x + view.frame.x_scale.compute(d.step[i]), box.y + view.frame.y_scale.compute(d.val_accuracy[i])]"
    )
    browser.execute_script("document.querySelector('#val_accuracy').scrollIntoView({block: 'center'})")
    x, y = (round(value) for value in browser.execute_script(spot))
    mouse = ActionChains(browser, duration=50)
    mouse.w3c_actions.pointer_action.move_to_location(x - 3, y - 3).move_to_location(x, y)
    mouse.perform()
    return x, y


def test_a_name_in_a_tooltip_is_text_and_no_markup(browser):
    names = column(browser, "group")
    (number,) = [number for number, name in enumerate(names) if NASTY in name]
    point_at(browser, f"group{number}")
    until(browser, f"return document.querySelector('.tip')?.textContent.includes({json.dumps(NASTY)})")
    assert find(browser, ".tip img, .tip b b") == []


def test_the_page_runs_no_script_but_its_own(chromium, report):
    """Also where a name had become markup."""
    chromium.get(report.as_uri())
    until(chromium, "return charts().length === 5")
    sneak = "<img src='data:,' onerror=\"document.title='taken'\">"
    chromium.execute_script(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(sneak)})")
    until(chromium, "return [...document.images].every((one) => one.complete)")
    assert chromium.title == "sconv report"
    refused = [entry["message"] for entry in chromium.get_log("browser") if "event handler" in entry["message"]]
    assert len(refused) == 1


def test_the_mouse_is_told_of_every_group_where_it_points_and_a_drag_zooms(browser, sweep):
    from selenium.webdriver.common.action_chains import ActionChains

    x, y = point_at(browser, "group0")
    head, *said = until(browser, "return all('.tip > *').map((one) => one.innerText.replaceAll('\\n', ' '))")
    assert head == "steps 200"
    # Every group at this step: its mean and deviation there, as the runs have them.
    found = {group.label: curves.of(group) for group in gather([sweep])[0]}
    assert said == [
        f"{label} {each.mean('val_accuracy')[9]:.4f} ± {each.deviation('val_accuracy')[9]:.4f} (n = {each.seeds})"
        for label, each in found.items()
    ]
    before = browser.execute_script("const r = chartOf('val_accuracy').x_range; return r.end - r.start")
    drag = ActionChains(browser, duration=50)
    pointer = drag.w3c_actions.pointer_action
    pointer.move_to_location(x - 60, y - 40).pointer_down().move_to_location(x, y)
    pointer.move_to_location(x + 60, y + 40).pointer_up()
    drag.perform()
    until(browser, f"const r = chartOf('val_accuracy').x_range; return r.end - r.start < 0.5 * {before}")


def test_each_chart_is_one_stop_of_the_tab_key_and_the_arrows_read_it(browser):
    from selenium.webdriver.common.keys import Keys

    (box,) = find(browser, "#val_accuracy .chart")
    assert box.get_attribute("aria-label").startswith(
        "test accuracy over steps. baseline optimizer.momentum=0.9: from "
    )
    find(browser, "#val_accuracy .save")[1].send_keys(Keys.TAB)
    assert browser.switch_to.active_element == box
    box.send_keys(Keys.END)
    assert find(browser, ".tip strong")[0].text == "steps 400"
    assert "steps 400, baseline" in find(browser, "#said")[0].get_attribute("textContent")
    box.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("class") == "logy"
    assert find(browser, ".tip") == []


def test_few_columns_at_first_and_all_of_them_when_asked_for_and_none_cut_off(browser):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", WIDE)
    try:
        headings = [head.text for head in find(browser, "#results thead th") if head.is_displayed()]
        assert headings == [name for name in wording.FEW if name != "val acc %"]
        hidden = "const box = document.querySelector('.scroll'); return box.scrollWidth - box.clientWidth"
        assert browser.execute_script(hidden) == 0
        find(browser, "#more")[0].click()
        assert all(head.is_displayed() for head in find(browser, "#results thead th"))
        assert browser.execute_script(hidden) == 0
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


WIDE = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}


def test_a_budget_chart_shows_the_gap_and_a_picture_of_it_can_be_kept(chromium, budgets, tmp_path):
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    chromium.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    chromium.get(budgets.as_uri())
    until(chromium, READY.replace("5", "6"))
    gap = "const one = chartOf('budgets0').renderers.find((r) => r.name === 'gap' && r.glyph.type === 'Line');"
    assert chromium.execute_script(gap + "return Array.from(one.data_source.data.x)") == pytest.approx([40, 80])
    labels = chromium.execute_script("return chartOf('budgets0').center.flatMap((one) => one.text ?? [])")
    words = find(chromium, "#budgets0 .key")[0].text
    assert len(labels) == 1
    assert labels[0].startswith("2.00 x fewer steps [")
    assert labels[0] in words
    assert re.search(r"onecycle needs 2\.00 x fewer steps \[\S+, \S+\] to reach the 70\.00 % that baseline", words)
    assert words.split("\n")[-1] in find(chromium, ".verdict")[0].text
    assert chromium.execute_script("return chartOf('budgets0').x_scale.type") == "LogScale"
    find(chromium, "#budgets0 .logx")[0].click()
    assert chromium.execute_script("return chartOf('budgets0').x_scale.type") == "LinearScale"
    for button in find(chromium, "#budgets0 .save"):
        button.click()
    wait(chromium, lambda _: {path.name for path in tmp_path.iterdir()} == {"budgets0.png", "budgets0.svg"})
    text = (tmp_path / "budgets0.svg").read_text()
    for said in ("final test accuracy against steps", "onecycle", "batch size 32", "n = 3"):
        assert said in text
    pixels = matplotlib.image.imread(tmp_path / "budgets0.png")[::5, ::5, :3]
    assert pixels.shape[0] > 140
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    assert [entry for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
ZOOMED = {"width": 700, "height": 450, "deviceScaleFactor": 2, "mobile": False}  # 200 % of 1400 pixels


@contextlib.contextmanager
def seen(browser, size, dark=False):
    """As on a screen of this size, of a system that is light or dark."""
    features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_axe_has_no_findings(chromium, budgets):
    """As the page is at first, and with all that can be shown shown and a group taken off."""
    axe = pytest.importorskip("axe_core_python", reason="no axe: pip install 'sconv[slow]'")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text()
    run = "axe.run(document).then((told) => arguments[0](told.violations.map((one) => [one.id, one.nodes[0].html])))"
    for size, dark in itertools.product((WIDE, PHONE, ZOOMED), (False, True)):
        with seen(chromium, size, dark):
            chromium.get(budgets.as_uri())
            until(chromium, "return all('.chart').length && charts().every((one) => viewOf(one)?.canvas_view)")
            # Not as a script of the page, which runs none but its own.
            chromium.execute_cdp_cmd("Runtime.evaluate", {"expression": script})
            assert chromium.execute_async_script(run) == [], (size, dark)
            for box in ("#more", "#seeds", ".chip"):
                chromium.execute_script(f"document.querySelector('{box}').click()")
            assert chromium.execute_async_script(run) == [], (size, dark)
            wide = chromium.execute_script("return document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, size


def test_the_keyboard_alone_does_it_all(chromium, budgets, tmp_path):
    """Every control is a stop of the Tab key, seen and in the order of the page; it sorts, shows, hides and saves."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    chromium.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    chromium.get(budgets.as_uri())
    until(chromium, READY.replace("5", "6"))
    stops = "return all('button, input, select, .chart, .settings').filter((one) => one.getClientRects().length)"
    controls, ring = chromium.execute_script(stops), "return getComputedStyle(document.activeElement).outlineStyle"

    def press(*keys):
        ActionChains(chromium).send_keys(*keys).perform()

    for control in controls:
        press(Keys.TAB)
        assert chromium.switch_to.active_element == control
        assert chromium.execute_script(ring) != "none", control.get_attribute("outerHTML")
    for control in reversed(controls):  # back to the first
        assert chromium.switch_to.active_element == control
        kind = control.get_attribute("class")
        if kind == "save" and control.get_attribute("data-kind") == "svg":
            press(Keys.ENTER)
        elif kind == "chip" or control.get_attribute("id") in ("theme", "more"):
            press(Keys.SPACE)
        elif control.text == "test acc %":
            press(Keys.ENTER)
        ActionChains(chromium).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
    numbers = [float(text.split()[0]) for text in column(chromium, "test acc %")]
    assert numbers == sorted(numbers)
    assert numbers != sorted(numbers, reverse=True)
    assert all(head.is_displayed() for head in find(chromium, "#results thead th"))
    assert chromium.execute_script("return curves().every((one) => one.renderers.every((line) => !line.visible))")
    assert find(chromium, "#theme")[0].text == "light"
    charts = {f"{one.get_attribute('id')}.svg" for one in find(chromium, "figure")}
    wait(chromium, lambda _: {path.name for path in tmp_path.iterdir()} == charts)


@pytest.mark.parametrize("dark", [False, True])
def test_the_system_says_light_or_dark_and_the_button_turns_it_round(browser, dark):
    light = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]) > 60"
    label = "return charts()[0].left[0].major_label_text_color"
    with seen(browser, WIDE, dark):
        until(browser, f"return ({light}) === {'false' if dark else 'true'}")
        colour = browser.execute_script(label)
        find(browser, "#theme")[0].click()
        until(browser, f"return ({light}) === {'true' if dark else 'false'}")
        assert browser.execute_script(label) != colour


def test_on_a_phone_nothing_sticks_out_and_a_finger_on_a_chart_scrolls(browser):
    metrics = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        browser.refresh()
        until(browser, READY)
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        assert (
            browser.execute_script("return Math.max(...all('figure').map((f) => f.getBoundingClientRect().right))")
            <= 390
        )
        dragging = "return charts().flatMap((c) => c.toolbar.tools).filter((t) => t.active).map((t) => t.type)"
        assert browser.execute_script(dragging) == []
        # A card a group: each number beside what it is, and all of it on the screen.
        cells = find(browser, "#results tbody tr:first-child td:not(.more)")
        assert cells[1].location["y"] > cells[0].location["y"]
        heading = "return getComputedStyle(arguments[0], '::before').content"
        assert browser.execute_script(heading, cells[1]) == '"test acc %"'
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_names_are_text_and_no_markup_and_what_groups_differ_in_is_listed(browser):
    assert any(NASTY in name for name in column(browser, "group"))
    assert find(browser, "table b") == []
    rows = {row.text.split()[0]: row.text for row in find(browser, ".settings tbody tr")}
    assert "sconv.schedules.cosine" in rows["schedule._target_"]


def test_a_report_without_a_curve_is_a_page_all_the_same(chromium, tmp_path):
    fabricate.run(tmp_path / "0", [], ends=fabricate.DivergedError("at once"))
    (tmp_path / "0/steps.csv").unlink()
    chromium.get_log("browser")
    chromium.get(page.write(compare(gather([tmp_path])[0]), Path(tmp_path)).as_uri())
    assert find(chromium, "figure") == []
    assert column(chromium, "runs") == ["0, 1 diverged"]
    assert [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"] == []
