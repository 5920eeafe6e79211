"""The page in a real browser, without a network."""

from __future__ import annotations

import re
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

SCATTER = "performance-alignment-scenes-top1"
MODEL = "vis-fam1-m0"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1300, "height": 900}}


@pytest.fixture(scope="module")
def browser():
    sync_api.expect.set_options(timeout=20_000)
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--enable-unsafe-swiftshader"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield started
        started.close()


@pytest.fixture(scope="module")
def file(page, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, file):
    """Open the page offline; at the end no error and no request to a network may be left."""
    contexts, faults = [], []

    def open_page(path=file, **options):
        context = browser.new_context(**options)
        context.set_offline(True)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(20_000)
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on(
            "console",
            lambda m: faults.append(m.text) if m.type == "error" else None,
        )
        tab.on(
            "request",
            lambda r: faults.append(r.url) if not r.url.startswith(("file:", "data:", "blob:"))
            else None,
        )  # fmt: skip
        tab.goto(path.as_uri())
        return tab

    open_page.faults = faults
    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def drawn(tab, name):
    """Scroll to a figure and wait until it is drawn."""
    plot = tab.locator(f"#plot-{name}")
    tab.evaluate("(id) => document.getElementById(id).scrollIntoView()", f"plot-{name}")
    plot.locator(".main-svg").first.wait_for()
    return plot


def place_of(tab, name, model):
    """Where on the screen a model's mark is."""
    return tab.evaluate(
        """([id, model]) => {
          const box = document.getElementById(id), full = box._fullLayout;
          for (const trace of box.data) {
            const i = (trace.text || []).findIndex((t) => t.includes("<b>" + model + "</b><br>"));
            if (i < 0) continue;
            const r = box.getBoundingClientRect();
            return [r.left + full.xaxis._offset + full.xaxis.d2p(trace.x[i]),
                    r.top + full.yaxis._offset + full.yaxis.d2p(trace.y[i])];
          }
        }""",
        [f"plot-{name}", model],
    )


def overflow(tab):
    return tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def test_only_what_is_near_is_drawn_and_everything_can_be(opened, page):
    tab = opened(**DESKTOP)
    tab.locator(".card").first.wait_for()
    total = page.count('class="plot"')
    assert total > 8
    names = tab.evaluate(
        "[...document.querySelectorAll('.plot:not([data-lazy])')].map((b) => b.id.slice(5))"
    )
    assert tab.locator(".js-plotly-plot").count() < len(names) / 2
    assert tab.locator("*").count() < 6000
    for name in names:
        drawn(tab, name)
    assert tab.locator(".js-plotly-plot").count() == len(names)


def test_a_point_under_the_pointer_says_which_model_it_is(opened):
    tab = opened(**DESKTOP)
    drawn(tab, SCATTER)
    tab.mouse.move(*place_of(tab, SCATTER, MODEL))
    words = tab.locator(f"#plot-{SCATTER} .hoverlayer").text_content
    sync_api.expect(tab.locator(f"#plot-{SCATTER} .hoverlayer")).to_contain_text(MODEL)
    assert "alignment r" in words()


def test_a_selector_switches_the_figure(opened):
    tab = opened(**DESKTOP)
    name = "layer-region-scenes-vision"
    plot = drawn(tab, name)
    shown = f"document.getElementById('plot-{name}')._fullData.map((t) => t.visible)"
    assert tab.evaluate(shown)[:2] == [True, False]
    label = tab.locator(f"#{name} select option").nth(1).text_content()
    tab.locator(f"#{name} select").select_option(label)
    tab.wait_for_function(f"{shown}[1] === true")
    assert tab.evaluate(shown)[0] is False and plot.is_visible()


def test_a_model_that_is_searched_is_marked_in_every_figure_and_table(opened):
    tab = opened(**DESKTOP)
    drawn(tab, SCATTER)
    tab.locator("#find").fill("FAM1-M0")
    tab.locator("#find").press("Enter")
    sync_api.expect(tab.locator("#found")).to_contain_text("2 models contain")
    tab.locator("#found button", has_text=MODEL).click()
    sync_api.expect(tab.locator("#found")).to_contain_text(f"{MODEL} is marked in:")
    selected = """(id) => document.getElementById(id).data
      .flatMap((t) => (t.selectedpoints || []).map((i) => [].concat(t.customdata[i])[0]))"""
    for name in (SCATTER, "controls-scenes"):
        drawn(tab, name)
        tab.wait_for_function(f"({selected})('plot-{name}').length > 0")
        assert set(tab.evaluate(selected, f"plot-{name}")) == {MODEL}
    tab.locator(f"#{SCATTER} .annotation", has_text=MODEL).wait_for()
    assert tab.locator("#models tr.hit").count() == 1
    tab.locator("#found button", has_text="Clear").click()
    tab.wait_for_function(f"({selected})('plot-{SCATTER}').length === 0")
    assert tab.locator("tr.hit").count() == 0
    tab.locator("#find").fill("no such")
    tab.locator("#find").press("Enter")
    sync_api.expect(tab.locator("#found")).to_contain_text("No model contains")


def test_the_data_behind_a_figure_opens_sorts_and_is_searched(opened):
    tab = opened(**DESKTOP)
    details = tab.locator("#layer-region-scenes-vision details.data")
    details.locator("summary").click()
    first = details.locator("tbody tr").first
    first.wait_for()
    before = details.locator("tbody tr").count()
    assert before == 100
    details.locator("input[type=search]").fill("block.1")
    sync_api.expect(details.locator(".rows")).to_contain_text("rows shown that contain")
    assert details.locator("tbody tr", has_text="block.1").count() > 0
    assert details.locator("tbody tr", has_not_text="block.1").count() == 0
    details.locator("input[type=search]").fill("")
    head = details.locator("thead button", has_text="score")
    head.click()
    column = [h.text_content() for h in details.locator("thead th").all()].index("score")
    values = [
        float(text)
        for text in details.locator(f"tbody tr :nth-child({column + 1})").all_inner_texts()
    ]
    assert values == sorted(values, reverse=True) and len(values) == before
    assert head.locator("..").get_attribute("aria-sort") == "descending"


def test_the_keyboard_reaches_everything_and_reads_the_marks(opened):
    tab = opened(**DESKTOP)
    tab.locator(".card").first.wait_for()
    seen, skip = [], None
    for _ in range(60):
        tab.keyboard.press("Tab")
        here = tab.evaluate(
            """() => { const e = document.activeElement, r = e.getBoundingClientRect();
              return [e.tagName, e.id || e.getAttribute("href") || e.textContent.slice(0, 30),
                      e === document.body || (r.width > 0 && r.height > 0)]; }"""
        )
        assert here[2], f"focus is lost on {here}"
        skip = skip or here
        seen.append(tuple(here[:2]))
        if here[1] == f"plot-{SCATTER}":
            break
    assert skip[:2] == ["A", "#main"]
    assert len(set(seen)) == len(seen), "the focus runs in a circle"
    assert ("INPUT", "find") in seen and ("A", "#methods") in seen
    drawn(tab, SCATTER)
    tab.keyboard.press("ArrowRight")
    first = tab.locator("#say").text_content()
    tab.keyboard.press("ArrowRight")
    assert re.search(r"vis-\S+ .*alignment r 0\.\d+", first)
    assert tab.locator("#say").text_content() != first
    tab.keyboard.press("Escape")
    sync_api.expect(tab.locator(f"#plot-{SCATTER} .hoverlayer .hovertext")).to_have_count(0)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") != f"plot-{SCATTER}"


def test_the_cortex_turns_when_it_is_asked_to(opened):
    tab = opened(**DESKTOP)
    name = "cortical-surface-scenes-vision"
    button = tab.locator(f"#{name} button.turn")
    assert tab.locator(f"#{name} img").is_visible()
    button.click()
    tab.locator(f"#plot-{name} canvas").first.wait_for()
    assert not tab.locator(f"#{name} img").is_visible()
    meshes = tab.evaluate(f"document.getElementById('plot-{name}').data.map((t) => t.x.length)")
    assert sum(meshes) > 1000
    button.click()
    assert tab.locator(f"#{name} img").is_visible()
    assert tab.locator(f"#plot-{name} canvas").count() == 0


@pytest.mark.parametrize("width", [360, 390])
def test_a_phone_scrolls_down_only(opened, width):
    tab = opened(**(PHONE | {"viewport": {"width": width, "height": 780}}))
    tab.locator(".card").first.wait_for()
    assert overflow(tab) == 0
    for name in (SCATTER, "layer-region-scenes-vision", "controls-scenes"):
        plot = drawn(tab, name)
        assert plot.bounding_box()["width"] <= width
    tab.locator("#models").scroll_into_view_if_needed()
    tab.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    tab.wait_for_timeout(300)
    assert overflow(tab) == 0


def test_a_finger_on_a_point_says_which_model_it_is(opened):
    tab = opened(**PHONE)
    drawn(tab, SCATTER)
    tab.touchscreen.tap(*place_of(tab, SCATTER, MODEL))
    sync_api.expect(tab.locator(f"#plot-{SCATTER} .hoverlayer")).to_contain_text(MODEL)


def test_without_scripts_and_in_print_the_pictures_stand_in(browser, file):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(file.as_uri())
    assert tab.locator(f"#{SCATTER} img").is_visible()
    assert tab.locator(f"#plot-{SCATTER}").is_hidden()
    assert tab.locator("form.find").is_hidden()
    context.close()
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(file.as_uri())
    assert tab.locator(f"#{SCATTER} img").is_hidden()
    tab.emulate_media(media="print")
    assert tab.locator(f"#{SCATTER} img").is_visible()
    assert tab.locator("nav").is_hidden()
    context.close()


def test_a_browser_that_cannot_unpack_shows_the_pictures(browser, file):
    context = browser.new_context()
    tab = context.new_page()
    tab.add_init_script("delete window.DecompressionStream")
    tab.goto(file.as_uri())
    tab.evaluate("(id) => document.getElementById(id).scrollIntoView()", SCATTER)
    tab.locator(f"#{SCATTER} img").wait_for(state="visible")
    context.close()


def test_the_watch_sees_an_error_and_a_request_to_the_network(opened, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<html><body><img src='https://example.invalid/x.png'>"
        "<script>console.error('canary')</script></body></html>",
        encoding="utf-8",
    )
    tab = opened(bad)
    tab.wait_for_timeout(200)
    assert any("canary" in fault for fault in opened.faults)
    assert any("example.invalid" in fault for fault in opened.faults)
    opened.faults.clear()
