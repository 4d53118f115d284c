"""compare.html in headless Chromium: open, sort, filter, samples side by side, sound; no error, no request."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compare_fixtures import compare
from tests.report_fixtures import make_run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

SPOKEN = "ultraeval-audio/llama-questions"


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path, list[str]]]:
    """A page of the browser, the file to open in it, and what it said and asked for."""
    root = tmp_path_factory.mktemp("view")
    for name, seed in (("a", 1), ("b", 2)):
        make_run(root / name, seed=seed, label=f"model {name}")
    code, _, err = compare(root / "a", root / "b", "--groups", "--metrics", "all", "--out", root / "out")
    assert code == 0, err
    said: list[str] = []
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        own = ("file:", "data:", "blob:")
        page.on("request", lambda asked: None if asked.url.startswith(own) else said.append(asked.url))
        yield page, root / "out" / "compare.html", said
        browser.close()
    assert said == []


def test_the_first_view(view: tuple[Any, Path, list[str]]) -> None:
    """The verdict, the picture and the table; rows sort by the difference and filter by name."""
    page, file, said = view
    page.goto(file.as_uri())
    assert (
        "model b" in page.inner_text("h1 >> visible=true") and page.locator("svg.forest:visible").count() == 1
    )
    assert page.locator("p.verdict:visible").count() == 1
    names = page.locator("table.versus:visible tbody tr:visible th")
    before = names.all_inner_texts()
    page.click("table.versus:visible thead button:has-text('Δ')")
    assert names.all_inner_texts() != before
    page.fill(".tools input[type=search]:visible", "wildvoice")
    assert [x.split("\n")[0] for x in names.all_inner_texts()] == ["voicebench/wildvoice"]
    assert said == []


def test_a_flipped_sample_side_by_side(view: tuple[Any, Path, list[str]]) -> None:
    """From the table to the task; its lost samples first; both answers, verdicts and judges in one card."""
    page, file, said = view
    page.goto(file.as_uri() + "#/a-b/voicebench/sd-qa")
    page.wait_for_selector(".view.on .item-head")
    assert page.locator(".view.on .item-head .val").first.inner_text() == "right → wrong"
    lost = int(page.inner_text(".view.on .bin >> nth=0").split()[-1])
    page.click(".view.on .bin >> nth=0")
    assert page.inner_text(".view.on .count").startswith(f"{lost} of 40")
    page.click(".view.on .item-head >> nth=0")
    cards = page.locator(".view.on .sides section")
    cards.nth(1).wait_for()
    assert [cards.nth(k).locator("h3").inner_text().split("\n")[0] for k in (0, 1)] == ["model b", "model a"]
    assert all("gpt" in cards.nth(k).inner_text() for k in (0, 1))
    assert page.locator(".view.on .item audio").count() == 1  # the question, once
    assert "q-" in page.url
    page.fill(".view.on .toolbar input[type=search]", "no such words")
    sync_api.expect(page.locator(".view.on .count")).to_have_text("0 of 40")
    assert said == []


def test_both_spoken_answers_play(view: tuple[Any, Path, list[str]]) -> None:
    page, file, said = view
    page.goto(file.as_uri() + f"#/a-b/{SPOKEN}/~/l-001")
    page.locator(".view.on .sides audio").nth(1).wait_for(state="attached")
    players = page.locator(".view.on .sides audio")
    assert players.count() == 2
    for k in (0, 1):
        length = players.nth(k).evaluate(
            "a => new Promise(go => { if (a.duration) go(a.duration); a.onloadedmetadata = () => go(a.duration); })"
        )
        assert 0.5 < length < 0.8
    assert said == []


def test_a_link_to_a_sample_opens_it_and_dark_is_dark(view: tuple[Any, Path, list[str]]) -> None:
    page, file, said = view
    page.emulate_media(color_scheme="dark")
    page.goto("about:blank")
    page.goto(file.as_uri() + "#/a-b/voicebench/alpacaeval_full/~/a-0003")
    page.wait_for_selector(".view.on .sides")
    assert page.inner_text(".view.on .item-head[aria-expanded=true] .id") == "a-0003"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 18, 21)"
    assert said == []
