"""report.html in a real browser: Chromium without a head, a fresh profile, and nothing but the file."""

import json
import re
from pathlib import Path

import pytest

import fabricate
from sconv.report import page
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
def report(tmp_path_factory):
    root = fabricate.sweep(tmp_path_factory.mktemp("sweep"), seeds=4, groups=4, epochs=20)
    for seed in range(2):
        fabricate.run(root / f"nasty{seed}", [0.5] * 20, seed=seed, settings={"optimizer.momentum": NASTY})
    return page.write(compare(gather([root])[0]), tmp_path_factory.mktemp("out"))


@pytest.fixture
def browser(chromium, report):
    """The page, drawn."""
    chromium.get_log("browser"), chromium.get_log("performance")
    chromium.get(report.as_uri())
    until(chromium, "return charts().length === 5 && document.querySelectorAll('.bk-Figure').length === 5")
    yield chromium
    # Whatever a test did, the page complained of nothing and asked nobody for anything.
    assert [entry for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert chromium.title == "sconv report"


def until(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(condition))


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


@pytest.mark.parametrize(("over", "last"), [("step", 400), ("epoch", 20), ("seconds", 40)])
def test_curves_go_over_steps_epochs_and_seconds(browser, over, last):
    find(browser, f"#over option[value={over}]")[0].click()
    until(
        browser, f"const range = chartOf('learning_rate').x_range; return Math.abs(range.end - {last}) < 0.06 * {last}"
    )
    until(
        browser, f"const range = chartOf('val_accuracy').x_range; return Math.abs(range.end - {last}) < 0.06 * {last}"
    )


# The tooltips that are seen; Bokeh hides them below roots of their own.
TIP = (
    "(() => { const inside = (one) => one.shadowRoot ? deep(one.shadowRoot) : [];"
    "const deep = (node) => [...node.querySelectorAll('*')].flatMap((one) => [one, ...inside(one)]);"
    "const tips = deep(document).filter((one) => one.className?.includes?.('bk-Tooltip'));"
    "return tips.filter((one) => getComputedStyle(one).display !== 'none') })()"
)


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
    shown = NASTY.replace("@", " ").replace("$", " ")
    until(browser, f"return {TIP}.some((one) => one.shadowRoot.textContent.includes({json.dumps(shown)}))")
    assert browser.execute_script(f"return {TIP}.filter((one) => one.shadowRoot.querySelector('img')).length") == 0


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


def test_the_mouse_is_told_what_it_points_at_and_a_drag_zooms(browser):
    from selenium.webdriver.common.action_chains import ActionChains

    x, y = point_at(browser, "group0")
    said = until(browser, f"return {TIP}.map((one) => one.shadowRoot.textContent)[0]")
    assert "baseline" in said
    assert "±" in said
    assert "200" in said
    before = browser.execute_script("const r = chartOf('val_accuracy').x_range; return r.end - r.start")
    drag = ActionChains(browser, duration=50)
    pointer = drag.w3c_actions.pointer_action
    pointer.move_to_location(x - 60, y - 40).pointer_down().move_to_location(x, y)
    pointer.move_to_location(x + 60, y + 40).pointer_up()
    drag.perform()
    until(browser, f"const r = chartOf('val_accuracy').x_range; return r.end - r.start < 0.5 * {before}")


@pytest.mark.parametrize("dark", [False, True])
def test_the_system_says_light_or_dark_and_the_button_turns_it_round(browser, dark):
    features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    light = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]) > 60"
    label = "return charts()[0].left[0].major_label_text_color"
    try:
        until(browser, f"return ({light}) === {'false' if dark else 'true'}")
        colour = browser.execute_script(label)
        find(browser, "#theme")[0].click()
        until(browser, f"return ({light}) === {'true' if dark else 'false'}")
        assert browser.execute_script(label) != colour
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_on_a_phone_nothing_sticks_out_and_a_finger_on_a_chart_scrolls(browser):
    metrics = {"width": 375, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        browser.refresh()
        until(browser, "return charts().length === 5 && document.querySelectorAll('.bk-Figure').length === 5")
        assert browser.execute_script("return document.documentElement.scrollWidth") == 375
        assert (
            browser.execute_script("return Math.max(...all('figure').map((f) => f.getBoundingClientRect().right))")
            <= 375
        )
        dragging = "return charts().flatMap((c) => c.toolbar.tools).filter((t) => t.active).map((t) => t.type)"
        assert set(browser.execute_script(dragging)) == {"HoverTool"}
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_names_are_text_and_no_markup(browser):
    assert any(NASTY in name for name in column(browser, "group"))
    assert find(browser, "table b") == []


def test_each_groups_difference_is_listed(browser):
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
