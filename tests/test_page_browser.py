"""The report in headless Chromium, used as a reader uses it: one browser for all of these."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
from report_fixtures import (
    HEARD,
    HOSTILE,
    MISHEARD,
    Answer,
    FixedJudge,
    accuracy,
    plan_of,
    task_of,
    tone,
    write_task,
)

from evalkit.cli import main
from evalkit.plan import ModelCard
from evalkit.records import Failure, Verdict
from evalkit.results import build_results
from evalkit.store import RunWriter
from reports import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

TASK, LONG, ASR = "qa/spoken", "qa/long", "asr/librispeech-clean"
N = 20_000


def spoken(k: int, right: bool, said: str = "") -> Answer:
    detail = {"replies": ["Yes, it is.", "No.", "Yes"], "votes": ["yes", "no", "yes"]}
    return Answer(
        f"s-{k:03}",
        text=said or ("The planet closest to the sun is Mercury." if right else "It is Venus."),
        question=HOSTILE if k == 1 else f"Question {k}: which planet is closest?",
        target="Mercury",
        verdicts=() if k == 3 else (Verdict("acc", float(right), detail=detail),),
        error=Failure("http-500", "HTTP 500 after 5 tries", 5) if k == 3 else None,
        group=("usa", "ind")[k % 2],
        speech=tone(1.5, 200 + 10 * k) if k < 4 and k != 3 else None,
        heard=MISHEARD if not right else HEARD,
        meta={"truncated": True, "unheard": 1, "speech": "ids", "speech_ids": [7] * 5000} if k == 4 else {},
    )


def write_run(root: Path, label: str, wrong: set[int], n: int = 60, long: int = 0) -> Path:
    judges = [FixedJudge("gpt-4o-mini x3 rubric:own@1b7c9f0e", "acc")]
    writer = RunWriter(root)
    tasks = [task_of(TASK, "Spoken QA", [accuracy()], judges, row="SD-QA", groups=("region",), expected=n)]
    write_task(writer, tasks[0], judges, [spoken(k, k not in wrong) for k in range(n)])
    plans = [plan_of(tasks[0], judges, n)]
    if long:
        tasks.append(task_of(LONG, "A long one", [accuracy()], judges))
        many = (
            Answer(f"l-{k:05}", text=f"answer {k}{' kitchen' * (k % 100 == 0)}", question=f"question {k}?",
                   verdicts=(Verdict("acc", float(k % 4 != 0), detail={"replies": [f"because {k}"]}),))
            for k in range(long)
        )  # fmt: skip
        write_task(writer, tasks[1], judges, list(many))
        plans.append(plan_of(tasks[1], judges, long))
    writer.write_manifest({"v": 1, "suite": "table2"})
    writer.write_results(build_results(writer, plans, ModelCard(label, f"openai/{label}@3e2d")))
    writer.close()
    return root


def asr_run(root: Path, folder: Path) -> Path:
    lines = [{"id": f"u{k}", "row": {"text": "the cat sat on the mat"}, "text": t} for k, t in enumerate(
        ("the cat sat on the mat", "well the bat sat on mat"))]  # fmt: skip
    file = folder / "asr.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert main(["score", f"{ASR}={file}", "--out", str(root), "--no-report"]) in (0, 1)
    return root


@dataclass
class Site:
    """Pages on disk, a tab, and all that the browser said and asked for since the tab was opened."""

    tab: Any
    one: Path
    two: Path
    bundle: Path
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    host: str = "about:"

    def open(self, page: Path, place: str = "") -> None:
        self.tab.goto("about:blank")
        self.tab.goto(f"{page.as_uri()}{place}")

    def ids(self) -> list[str]:
        return [t.strip() for t in self.tab.locator(".view.on .item .id").all_inner_texts()]

    def count(self) -> str:
        return str(self.tab.inner_text(".view.on .count"))

    def opened(self) -> str:
        self.tab.wait_for_selector(".view.on .item .body")
        return str(self.tab.inner_text(".view.on .item[data-open] .id"))

    def eventually(self, script: str) -> None:
        """Wait for an expression; asked again and again, as the page's policy lets no string become a script in it."""
        for _ in range(250):
            if self.tab.evaluate(script):
                return
            self.tab.wait_for_timeout(20)
        raise AssertionError(f"not within 5 s: {script}")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    root = tmp_path_factory.mktemp("browser")
    long = write_run(root / "long", "model-l", {0, 5, 6}, long=N)
    a = write_run(root / "a", f"model-a {HOSTILE}", {0, 5, 6})
    b = write_run(root / "b", "model-b", {6, 7})
    asr = asr_run(root / "asr", root)
    (one,) = write_report([long, asr], root / "one.html", ["html"])
    (two,) = write_report([a, b], root / "two.html", ["html"])
    (bundle,) = write_report([b], root / "bundle", ["html"], bundle=True)
    return one, two, bundle


@pytest.fixture(scope="module")
def site(pages: tuple[Path, Path, Path]) -> Iterator[Site]:
    with sync_api.sync_playwright() as playwright:
        flags = [
            "--no-sandbox",
            "--disable-gpu",
            "--autoplay-policy=no-user-gesture-required",
            "--mute-audio",
        ]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.set_default_timeout(5000)
        found = Site(tab, *pages)
        tab.on("console", lambda m: found.said.append(f"{m.type}: {m.text}"))
        tab.on("pageerror", lambda e: found.said.append(f"error: {e}"))
        tab.on("request", lambda r: found.asked.append(r.url))
        tab.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error(e.violatedDirective, e.blockedURI))"
        )
        yield found
        browser.close()


@pytest.fixture(autouse=True)
def quiet(site: Site) -> Iterator[None]:
    """After each test: nothing on the console, nothing against the policy, no request but for own files."""
    site.said.clear()
    site.asked.clear()
    yield
    assert site.said == []
    own = [p.as_uri() for p in (site.one, site.two, site.bundle, site.bundle.parent / "audio")]
    own += [site.host, "data:", "about:", "blob:"]
    assert [url for url in site.asked if not url.startswith(tuple(own))] == []


def test_tables_sort_and_filter_and_say_their_coverage(site: Site) -> None:
    site.open(site.two, "#/tables")
    rows = site.tab.locator(".view.on tbody tr:not(.section):not(.overall) th.label")
    before = rows.all_inner_texts()
    site.tab.click(".view.on thead th.ours >> nth=0 >> button.sort")
    assert site.tab.get_attribute(".view.on thead th.ours >> nth=0", "aria-sort") == "descending"
    assert rows.all_inner_texts()[0].startswith("SD-QA") and rows.all_inner_texts() != before
    site.tab.fill(".view.on .tools input >> nth=0", "sd-qa")
    assert site.tab.locator(".view.on .table-panel >> nth=0 >> tbody tr:not(.section):visible").count() == 1
    cell = site.tab.locator(".view.on td.ours:has(.num)").first
    assert "59/60 · 1 errored" in cell.inner_text()
    assert cell.locator("svg.ci").count() == 1
    assert "59 scored, 0 unscored, 1 errored" in cell.text_content()
    cell.locator(".num").click()
    assert (
        "95" in site.tab.inner_text("#card") and site.tab.evaluate("document.activeElement.className") == "x"
    )
    site.tab.keyboard.press("Escape")
    assert site.tab.is_hidden("#card")


def test_samples_are_searched_and_filtered(site: Site) -> None:
    site.open(site.two, f"#/r1/{TASK}")
    assert site.count() == "60 of 60"
    site.tab.click(".view.on .bin:has-text('wrong')")
    assert site.ids() == ["s-000", "s-005", "s-006"] and site.count() == "3 of 60"
    site.tab.select_option(".view.on select[aria-label=Group]", label="usa (30)")
    assert site.ids() == ["s-000", "s-006"]
    site.tab.click(".view.on .clear")
    site.tab.fill(".view.on input[type=search]", "question 17:")
    site.eventually("document.querySelector('.view.on .count').textContent === '1 of 60'")
    assert site.ids() == ["s-017"] and "q=question" in site.tab.url
    site.tab.reload()
    site.eventually("document.querySelector('.view.on .count').textContent === '1 of 60'")
    site.tab.fill(".view.on input[type=search]", "http 500 after")
    site.eventually("document.querySelector('.view.on .list').innerText.includes('s-003')")
    assert site.ids() == ["s-003"], "what the list says of an error is found in it"
    site.tab.fill(".view.on input[type=search]", "no such words")
    site.eventually("document.querySelector('.view.on .empty')")


def test_runs_that_disagree_are_told_apart_and_shown_side_by_side(site: Site) -> None:
    site.open(site.two, f"#/r1/{TASK}")
    rival = "select[aria-label='Disagreement between runs']"
    site.tab.wait_for_selector(f".view.on {rival} option >> nth=1", state="attached")
    options = site.tab.locator(f".view.on {rival} option").all_inner_texts()
    assert any("wrong, model-b right (2)" in o for o in options) and any(
        "right, model-b wrong (1)" in o for o in options
    )
    site.tab.select_option(f".view.on {rival}", "0:ba")
    assert site.ids() == ["s-000", "s-005"]
    assert site.tab.inner_text(".view.on .item .val >> nth=0") == "wrong / right"
    site.tab.click(".view.on .item-head >> nth=0")
    site.tab.wait_for_selector(".view.on .sides .side >> nth=1")
    sides = site.tab.locator(".view.on .sides .side").all_inner_texts()
    assert (
        "It is Venus." in sides[0]
        and "is Mercury." in sides[1]
        and "wrong" in sides[0]
        and "right" in sides[1]
    )
    site.tab.select_option(f".view.on {rival}", "0:ab")
    assert "s-007" in site.ids() and "s-000" in site.ids(), "what is being read stays"


@pytest.mark.parametrize("query", ["", "?outcome=1&q=nothing+has+this"])
def test_a_link_opens_its_sample_whatever_is_filtered(site: Site, query: str) -> None:
    site.open(site.two, f"#/r2/{TASK}/~/{quote('s-006')}{query}")
    assert site.opened() == "s-006"
    site.eventually("document.activeElement.className === 'item-head'")
    site.tab.click(".view.on .bin:has-text('right')")
    assert "/~/s-006" in site.tab.url, "the address still names it"


def test_keys_go_through_the_samples(site: Site) -> None:
    site.open(site.two, f"#/r2/{TASK}")
    site.tab.wait_for_selector(".view.on .item")
    site.tab.keyboard.press("j")
    site.tab.keyboard.press("j")
    site.tab.keyboard.press("ArrowDown")
    site.tab.keyboard.press("k")
    focused = "document.activeElement.querySelector('.id').textContent"
    assert site.tab.evaluate(focused) == site.ids()[1]
    assert site.tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    site.tab.keyboard.press("Enter")
    site.opened()
    site.tab.keyboard.press("Escape")
    assert site.tab.locator(".view.on .item .body").count() == 0
    site.tab.keyboard.press("/")
    assert site.tab.evaluate("document.activeElement.type") == "search"
    site.tab.keyboard.type("jk?")
    assert site.tab.input_value(".view.on .samples input") == "jk?" and not site.tab.is_visible("#help")
    site.tab.fill(".view.on .samples input", "")
    site.tab.keyboard.press("Escape")
    site.tab.keyboard.press("?")
    assert (
        site.tab.is_visible("#help")
        and site.tab.evaluate("document.activeElement.closest('dialog').id") == "help"
    )
    site.tab.keyboard.press("Escape")
    assert not site.tab.is_visible("#help")


@pytest.fixture(scope="module")
def hosted(pages: tuple[Path, Path, Path]) -> Iterator[str]:
    """The bundle on a web server."""
    handler = partial(QuietHandler, directory=str(pages[2].parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.parametrize("where", ["one file", "bundle", "hosted"])
def test_sound_plays_and_seeks(site: Site, hosted: str, where: str) -> None:
    site.host = hosted.rpartition("/")[0] + "/"
    site.tab.goto("about:blank")
    page = {"one file": site.two.as_uri(), "bundle": site.bundle.as_uri(), "hosted": hosted}[where]
    site.tab.goto(f"{page}#/{'r2' if where == 'one file' else 'r1'}/{TASK}/~/s-002")
    site.opened()
    site.eventually("document.activeElement.className === 'item-head'")
    assert site.tab.locator(".view.on .wave path").first.get_attribute("d").count("M") > 100
    site.tab.keyboard.press("Space")
    site.eventually("document.querySelector('.view.on audio').currentTime > 0.1")
    assert site.tab.locator(".view.on .item .body").count() == 1, "the key that plays doesn't close"
    site.tab.keyboard.press("Space")
    assert site.tab.evaluate("document.querySelector('.view.on audio').paused")
    box = site.tab.locator(".view.on .wave").first.bounding_box()
    site.tab.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 20)
    site.eventually("document.querySelector('.view.on audio').currentTime >= 0.8")
    if where != "one file":
        assert any("/audio/" in url for url in site.asked)


def test_a_bundle_is_a_folder_that_can_be_moved(site: Site) -> None:
    files = sorted(
        p.relative_to(site.bundle.parent).as_posix() for p in site.bundle.parent.rglob("*") if p.is_file()
    )
    assert files[-1] == "index.html" and len(files) == 4
    for name in files[:-1]:
        digest = hashlib.sha256((site.bundle.parent / name).read_bytes()).hexdigest()
        assert name.startswith(f"audio/{digest}.")
    text = site.bundle.read_text(encoding="utf-8")
    assert (
        "base64,UklGR" not in text
        and str(site.bundle.parent) not in text
        and "media-src 'self' file:;" in unescape(text)
    )


def test_cards_show_what_made_the_verdict(site: Site) -> None:
    site.open(site.one, f"#/r1/{TASK}/~/s-000")
    site.opened()
    votes = site.tab.locator(".view.on .replies li").all_inner_texts()
    assert votes == ["yes: Yes, it is.", "no: No.", "yes: Yes"]
    assert site.tab.locator(".view.on .body .diff ins").count() > 0, "the transcript differs from the text"
    site.open(site.one, f"#/r2/{ASR}/~/u1")
    site.opened()
    assert site.tab.locator(".view.on .swap").all_inner_texts() == ["cat bat"]
    assert site.tab.locator(".view.on .diff > del").first.inner_text() == "the"
    assert site.tab.locator(".view.on .diff > ins").first.inner_text() == "well"
    mark = site.tab.evaluate("""() => {
        const cell = document.createElement('td');
        cell.className = 'off';
        const table = document.createElement('table');
        table.className = 'calls';
        table.insertRow().append(cell);
        document.querySelector('main').append(table);
        return getComputedStyle(cell, '::before').content;
    }""")
    assert "\u2260" in mark, "a wrong argument is told apart without colours as well"


def test_what_is_odd_about_an_answer_stands_beside_it(site: Site) -> None:
    site.open(site.one, f"#/r1/{TASK}/~/s-004")
    site.opened()
    card = site.tab.locator(".view.on .item[data-open] .body").inner_text()
    assert (
        "cut off at the limit of tokens · a recording in the question was too short to be heard · its speech"
        in card
    )
    assert '"speech_ids":"5,000 in all: 7, 7' in card
    site.open(site.one, f"#/r1/{TASK}/~/s-005")
    site.opened()
    assert "cut off" not in site.tab.locator(".view.on .item[data-open] .body").inner_text()


UNCOVERED = """() => {
    const at = document.activeElement;
    if (at === document.body) return true;
    const box = at.getBoundingClientRect();
    const top = document.elementFromPoint(box.left + box.width / 2, box.top + Math.min(box.height / 2, 20));
    return Boolean(top && box.width && (at.contains(top) || top.contains(at)));
}"""


@pytest.fixture
def narrow(site: Site) -> Iterator[Site]:
    """A window as narrow as a telephone's, without smooth scrolling."""
    site.tab.set_viewport_size({"width": 360, "height": 740})
    site.tab.emulate_media(reduced_motion="reduce")
    yield site
    site.tab.emulate_media(reduced_motion="no-preference")
    site.tab.set_viewport_size({"width": 1280, "height": 800})


@pytest.mark.parametrize("place", ["#/tables", f"#/r1/{TASK}"])
@pytest.mark.parametrize("key", ["Tab", "Shift+Tab"])
def test_what_the_keyboard_reaches_is_seen(narrow: Site, place: str, key: str) -> None:
    """Neither the columns that stay nor the toolbar cover what has the focus; the page is as wide as its window."""
    narrow.open(narrow.two, place)
    assert narrow.tab.evaluate("document.documentElement.scrollWidth") == 360
    for _ in range(45):
        narrow.tab.keyboard.press(key)
        told = narrow.tab.evaluate("document.activeElement.outerHTML")
        assert narrow.tab.evaluate(UNCOVERED), told


def test_long_text_is_scrolled_by_keys(site: Site) -> None:
    site.open(site.two, f"#/r1/{TASK}/~/s-009")
    site.opened()
    site.tab.evaluate("document.querySelector('.view.on .body .words').textContent = 'word '.repeat(9000)")
    site.tab.evaluate("window.dispatchEvent(new Event('resize'))")
    assert site.tab.get_attribute(".view.on .body .words >> nth=0", "tabindex") == "0"


def test_light_and_dark(site: Site) -> None:
    site.open(site.two)
    ground = "getComputedStyle(document.body).backgroundColor"
    site.tab.emulate_media(color_scheme="dark")
    dark = site.tab.evaluate(ground)
    site.tab.emulate_media(color_scheme="light")
    light = site.tab.evaluate(ground)
    assert dark != light
    site.tab.click("#theme")
    site.tab.click("#theme")
    assert str(site.tab.get_attribute("#theme", "aria-label")).startswith("Dark "), (
        "what is seen begins its name"
    )
    assert site.tab.inner_text("#theme") == "Dark" and site.tab.evaluate(ground) == dark
    site.tab.click("#theme")
    assert site.tab.evaluate(ground) == light


def test_twenty_thousand_samples_are_all_there_and_few_in_the_document(site: Site) -> None:
    site.open(site.one, f"#/r1/{LONG}")
    site.tab.wait_for_selector(".view.on .item")
    assert site.count() == "20,000 of 20,000"
    assert site.tab.locator(".item").count() < 120
    site.tab.select_option(".view.on select[aria-label=Order]", "id")
    site.tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    site.eventually(
        "[...document.querySelectorAll('.view.on .item .id')].some((n) => n.textContent === 'l-19999')"
    )
    assert site.tab.locator(".item").count() < 120
    last = site.tab.locator(".view.on .item").last
    assert last.get_attribute("aria-posinset") == last.get_attribute("aria-setsize") == "20000"
    last.locator("button").click()
    site.eventually("document.querySelector('.view.on .item .body')?.textContent.includes('because 19999')")
    site.tab.fill(".view.on input[type=search]", "kitchen")
    site.eventually("document.querySelector('.view.on .count').textContent === '200 of 20,000'")
    site.open(site.one, f"#/r1/{LONG}/~/l-12345")
    assert site.opened() == "l-12345"


def test_hostile_text_stays_text(site: Site) -> None:
    site.open(site.two, f"#/r1/{TASK}/~/s-001")
    site.opened()
    assert "<script>alert(1)" in site.tab.inner_text(".view.on .item[data-open] .words >> nth=0")
    assert site.tab.locator("img").count() == 0


ODD_TASKS = ("odd/a_b", "odd_a/b", "odd/\u4e2d\u6587", "odd/\u8a9e", "odd/a/b", "odd/__proto__")


@pytest.mark.parametrize("place", range(len(ODD_TASKS)))
def test_tasks_of_odd_names_have_their_pages(site: Site, odd: Path, place: int) -> None:
    site.host = odd.as_uri()
    site.open(odd)
    site.tab.select_option("#jump", index=place + 1)
    site.eventually("document.querySelector('.view.on .item')")
    assert site.tab.inner_text(".view.on h1") == f"Task {place}" and site.ids() == [f"q{place}"]
    site.tab.click(".view.on .item-head")
    site.tab.reload()
    assert site.opened() == f"q{place}"
    assert site.tab.inner_text(".view.on h1") == f"Task {place}" and site.tab.locator("img").count() == 0


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("odd")
    judges = [FixedJudge("m", "acc")]
    writer = RunWriter(root / "run")
    plans = []
    for k, name in enumerate(ODD_TASKS):
        task = task_of(name, f"Task {k}", [accuracy()], judges)
        write_task(writer, task, judges, [Answer(f"q{k}", verdicts=(Verdict("acc", 1.0),))])
        plans.append(plan_of(task, judges, 1))
    writer.write_manifest({"v": 1})
    writer.write_results(build_results(writer, plans, ModelCard("m", "m@1")))
    writer.close()
    return write_report([root / "run"], root / "odd.html", ["html"])[0]


def test_tables_are_copied(site: Site) -> None:
    site.open(site.two, "#/tables")
    for kind, start in (
        ("CSV", "section,row,metric"),
        ("LaTeX", "\\begin{table"),
        ("Markdown", "### "),
    ):
        site.tab.evaluate(
            "document.addEventListener('copy', () => { window.copied = document.activeElement.value; })"
        )
        site.tab.evaluate("delete Navigator.prototype.clipboard")
        site.tab.click(f".view.on .tools button:has-text('Copy {kind}') >> nth=0")
        site.eventually(f"window.copied.startsWith({json.dumps(start)})")
