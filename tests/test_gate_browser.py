"""gate.html in headless Chromium: read, followed to a sample, played; nothing asked for, nothing complained of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.gate_fixtures import ADV, MMSU, call, letters, policy, refusals

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)


def made(home: Path, name: str, adv: range, mmsu: range) -> Path:
    """A run of two tasks."""
    files = []
    for task, rows in ((ADV, refusals(300, adv)), (MMSU, letters(200, mmsu))):
        path = home / f"{name}-{task.rpartition('/')[2]}.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
        files.append(f"{task}={path}")
    label = ("--label", f"<b>{name}</b>")
    done = call(home, "score", *files, "--protocol", "official", *label, "--out", home / name, "--no-report")
    assert done.code == 0, done.said
    return home / name


def test_a_page_as_a_reader_uses_it(tmp_path: Path) -> None:
    a, b = made(tmp_path, "a", range(9), range(10)), made(tmp_path, "b", range(60), range(9, 20))
    rules = policy(tmp_path, f"tasks: {{{MMSU}: {{margin: 20, groups: {{domain: {{margin: 30}}}}}}}}")
    done = call(tmp_path, "gate", "--baseline", a, "--candidate", b, "--policy", rules)
    assert done.code == 1, done.said
    said: list[str] = []
    asked: list[str] = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab: Any = browser.new_page()
        tab.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda e: said.append(str(e)))
        tab.on("request", lambda r: asked.append(r.url))
        tab.goto((b / "gate.html").as_uri())
        assert tab.inner_text(".view.on h1") == "Gate: <b>b</b> against <b>a</b>"
        assert "REGRESSION \u00b7 1 regression, 3 pass \u00b7 exit code 1" in tab.inner_text(
            ".view.on .verdict"
        )
        rows = tab.locator(".view.on table.gate tbody tr")
        assert [rows.nth(k).locator("td.told").inner_text() for k in range(rows.count())].count("pass") == 3
        assert tab.locator(".view.on .forestbox svg").count() == 1
        tab.click(f".view.on table.gate a:text-is('{ADV}')")
        tab.wait_for_selector(".view.on .item")
        assert "McNemar p < 0.001; lost 51, won 0" in tab.inner_text(".view.on table.facts >> nth=0")
        first = tab.locator(".view.on .item").first
        assert first.locator(".id").inner_text().strip() == "s009"
        first.locator(".item-head").click()
        tab.wait_for_selector(".view.on .item .body")
        for said_there in ("Sure!", "I can't help with that.", "right"):
            tab.wait_for_selector(f'.view.on .item[data-open] >> text="{said_there}"')
        browser.close()
    assert said == []
    assert [u for u in asked if not u.startswith(("file:", "data:"))] == []
