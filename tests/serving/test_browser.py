"""The page in a real browser, beside sweeps whose journals grow while it is open. Skipped where there is none."""

import time

import pytest
from chromium import CHROMIUM, NAMES, chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"needs one of {', '.join(NAMES)} on the PATH")

ROWS = "[...document.querySelectorAll('#trials tbody tr[data-id]')]"
CURVES = "[data-section=learning_curves] .figure"


@pytest.fixture(scope="module")
def browser():
    with chromium() as (tab, _):
        yield tab


@pytest.fixture
def tab(browser, serve):  # which ends after it
    """The browser's tab, which in the end has said nothing of errors, and asked nobody else for anything."""
    browser.console.clear()
    browser.requests.clear()
    browser.size(1200)
    yield browser
    browser.open("about:blank")
    assert browser.console == []
    others = [
        url for url in browser.requests if not url.startswith(("http://127.0.0.1:", "data:", "about:", "blob:"))
    ]
    assert others == []


def drawn(tab, trial):
    """The last epoch of a trial that the first figure shows, drawn by plotly or over it."""
    return tab.ask(
        f"Math.max(0, ...(document.querySelector('{CURVES} .plot')?.data || []).flatMap(trace =>"
        f" trace.x.filter((x, i) => x !== null && (trace.text?.[i] ?? trace.meta?.trial) == '{trial}')),"
        f" ...[...document.querySelector('{CURVES}').querySelectorAll('[data-trial=\"{trial}\"]')]"
        ".map(line => Number(line.dataset.last)))"
    )


def until(check, seconds=10):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_rows_appear_while_the_page_is_open_and_the_zoom_stays(tab, growing, serve):
    sweep = growing(trials=4, epochs=40)
    first, second = sweep.start(), sweep.start()
    for _ in range(3):
        sweep.epoch(first)
    sweep.write()
    tab.open(f"{serve().url}")
    tab.wait("document.querySelector('.virtual a[href*=toy-sweep]')")
    tab.ask("document.querySelector('.virtual a[href*=toy-sweep]').click()")
    tab.wait(f"{ROWS}.length == 2 && document.querySelector('{CURVES} .main-svg')")
    assert drawn(tab, "00000") == 3
    tab.ask(f"void Plotly.relayout(document.querySelector('{CURVES} .plot'), {{'xaxis.range': [1, 7]}})")
    sweep.epoch(second)
    sweep.epoch(first)
    tab.wait(f"{ROWS}.find(row => row.dataset.id == '00000').innerText.includes('\\t4\\t')", 3)
    until(lambda: drawn(tab, "00001") == 1 and drawn(tab, "00000") == 4)
    assert tab.ask(f"document.querySelector('{CURVES} .plot').layout.xaxis.range") == [1, 7]
    sweep.finish()
    tab.wait("document.querySelector('.lead').textContent.includes('4 completed')", 5)
    tab.wait(f"{ROWS}.length == 4")
    # a logarithmic axis, and back
    tab.ask(f"document.querySelector('{CURVES} .tools button').click()")
    tab.wait(f"document.querySelector('{CURVES} .plot').layout.xaxis.type == 'log'")


def test_what_a_journal_holds_is_shown_as_text(tab, growing, serve):
    from balltrain.search.policy import Cause

    sweep = growing("<img src=x onerror=alert(1)>", trials=3)
    number = sweep.start()
    sweep.epoch(number)
    sweep.controller.fail(number, Cause.DETERMINISTIC, "<script>document.title = 'owned'</script>")
    sweep.run()
    (sweep.folder / "logs").mkdir()
    (sweep.folder / "logs" / "00000.log").write_text("<img src=x onerror=\"document.title='owned'\">\n")
    sweep.write(ended=True)
    tab.open(serve().url)
    tab.wait("document.querySelector('.virtual tbody a')")
    tab.ask("document.querySelector('.virtual tbody a').click()")
    tab.wait("document.querySelector('[data-section=failures_table] table')")
    assert "<script>document.title" in tab.ask("document.querySelector('[data-section=failures_table]').innerText")
    tab.ask("document.querySelector('#trials a[href*=\"00000\"]').click()")
    tab.wait("document.querySelector('.log')")
    assert tab.ask("document.querySelector('.log').textContent").startswith("<img src=x onerror=")
    assert tab.ask("document.querySelectorAll('main img').length") == 0
    assert "owned" not in tab.ask("document.title")


def test_trials_are_filtered_sorted_walked_and_opened_by_the_keyboard(tab, growing, serve):
    sweep = growing(trials=30, epochs=2)
    sweep.run()
    sweep.write(ended=True)
    tab.open(serve().url + "#/sweep/toy-sweep")
    tab.wait(f"{ROWS}.length > 10 && document.querySelector('{CURVES} .main-svg')")
    tab.press("/")
    for key in "config.lr > 1e-3":
        tab.press(key)
    tab.press("Enter", "\r")
    tab.wait("/^\\d+ of 30$/.test(document.querySelector('#trials .note').textContent)")
    rates = tab.ask(f"{ROWS}.map(row => Number(row.cells[7].innerText))")
    assert rates
    assert min(rates) > 1e-3
    tab.press("Escape")
    tab.wait("document.querySelector('#trials .note').textContent == '30'")
    tab.ask("[...document.querySelectorAll('#trials th button')].find(button => button.textContent == 'lr').click()")
    rates = tab.ask(f"{ROWS}.map(row => Number(row.cells[7].innerText))")
    assert rates == sorted(rates)
    tab.press("j")
    tab.press("j")
    tab.press("j")
    chosen = tab.ask("document.querySelector('tr[aria-selected=true]').dataset.id")
    tab.press("Enter", "\r")
    tab.wait("document.querySelector('[data-section=curves] .main-svg')")
    assert tab.ask("document.querySelector('h1').textContent") == f"Trial {chosen}"
    assert "--set lr=" in tab.ask("document.querySelector('.command pre').textContent")
    tab.press("u")
    tab.wait(f"{ROWS}.length > 10")


def test_dragging_along_an_axis_filters_the_table(tab, growing, serve):
    sweep = growing(trials=9, epochs=1)  # of ten, importances are estimated, which takes seconds
    sweep.run()
    sweep.write(ended=True)
    tab.open(serve().url + "#/sweep/toy-sweep")
    tab.wait("document.querySelector('[data-section=parallel_coordinates] .figure')")
    tab.ask("document.querySelector('[data-section=parallel_coordinates]').scrollIntoView()")
    tab.wait("document.querySelector('.parallel .grip')")
    x, top, height = tab.ask(
        "(() => { const box = [...document.querySelectorAll('.grip')].at(-1).getBoundingClientRect();"
        " return [box.x + box.width / 2, box.y, box.height] })()"
    )
    tab.drag((x, top + height * 0.5), (x, top + height))
    tab.wait("/^\\d+ of 9$/.test(document.querySelector('#trials .note').textContent)")
    kept = tab.ask(f"{ROWS}.map(row => row.dataset.id)")
    assert 0 < len(kept) < 9
    best = min(sweep.state.trials.values(), key=lambda trial: trial.objective)
    assert best.trial_id in kept
    assert tab.ask("document.querySelectorAll('.line.out').length") == 9 - len(kept)
    tab.press("Escape")
    tab.wait("document.querySelector('#trials .note').textContent == '9'")


def test_ticked_sweeps_are_compared(tab, growing, serve):
    for name in ("one", "two"):
        sweep = growing(name, trials=4)
        sweep.run()
        sweep.write(ended=True)
    tab.open(serve().url)
    tab.wait("document.querySelectorAll('.virtual input').length == 2")
    tab.ask("[...document.querySelectorAll('.virtual input')].forEach((box, i) => box.click())")
    tab.ask(
        "[...document.querySelectorAll('.virtual input')].filter(box => !box.checked).forEach(box => box.click())"
    )
    tab.ask("[...document.querySelectorAll('button')].find(button => button.textContent == 'Compare 2').click()")
    tab.wait("document.querySelectorAll('.figure .main-svg').length >= 2")
    assert tab.ask("document.querySelector('.plot').data.length") == 2


def test_light_and_dark_fit_a_phone_and_a_screen(tab, growing, serve):
    sweep = growing(trials=9, epochs=3)
    sweep.run()
    sweep.write(ended=True)
    tab.size(1200, 2000)
    tab.open(serve().url + "#/sweep/toy-sweep")
    tab.wait(
        f"document.querySelector('[data-section=provenance] dl') && document.querySelector('{CURVES} .main-svg')"
    )
    back = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert tab.ask("document.documentElement.scrollWidth - innerWidth") <= 0
    assert min(tab.ask(back)) > 240
    tab.size(400, 2000, dark=True)
    tab.wait(f"document.querySelector('{CURVES} .main-svg').clientWidth < 400")
    tab.wait("document.documentElement.scrollWidth <= innerWidth")
    assert max(tab.ask(back)) < 60


def test_a_trial_is_starred_noted_and_stopped_on_the_page(tab, growing, serve, tmp_path):
    from balltrain.records.marks import read_marks
    from balltrain.records.requests import Answer, Requests
    from balltrain.storage import Storage

    sweep = growing()
    sweep.epoch(sweep.start())
    asked = []
    tab.open(serve(allow_control=True).url + "#/sweep/toy-sweep")
    tab.wait("document.querySelector('#trials .star')")
    tab.ask("document.querySelector('#trials .star').click()")
    tab.wait("document.querySelector('#trials .star').textContent == '★'")
    tab.ask("document.querySelector('#trials a').click()")
    tab.wait("document.querySelector('textarea')")
    tab.ask("document.querySelector('textarea').value = 'falls <fast>'")
    tab.ask("document.querySelector('.keep').click()")
    until(lambda: [(m.star, m.note) for m in read_marks(sweep.folder).values()] == [(True, "falls <fast>")])

    def follow(request):
        asked.append(request.trial)
        return Answer(True, "trial 0 ends after this epoch")

    with Requests(Storage(str(tmp_path / "runs")), "toy-sweep").heard(follow):
        tab.ask("document.querySelector('.stop').click()")
        assert asked == []  # it asks once more
        tab.ask("document.querySelector('.stop').click()")
        tab.wait("document.body.innerText.includes('trial 0 ends after this epoch')")
    assert asked == [0]
