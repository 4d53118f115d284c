"""Model output that means harm, or is just odd: the run ends well, and no reader of it is hurt."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evalkit.records import Modality, Response, Sample
from evalkit.store import Run
from tests.cli_fixtures import Bench, ToyRunner, bench, judged, lines, openai, sent
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

OPEN = "voicebench/alpacaeval_full"
BIG = "Ünïcödé 大きい " * 75_000
HOSTILE = [
    "<script>alert('evil-one')</script><img src=x onerror=alert('evil-two')>",
    "=cmd|' /C calc'!A0",
    "+1+1 -2 @SUM(1) \t=1+1",
    "\x00\x01\x07\x1b[2J\x1b]0;title\x07\r\nbell and escape\x9b31m",
    "lone \ud800 surrogate \udfff pair",
    "</textarea></pre>--></script>{{7*7}}${7*7}{% raw %}",
    BIG,
    '"quotes", commas,\nand\u2028newlines\u2029 \u202eright to left',
]


class Scripts(HTMLParser):
    """Collects tags and attributes that would do something."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.bad: list[str] = []
        self.data: list[str] = []
        self._json = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name.startswith("on") or "javascript:" in (value or "").lower():
                self.bad.append(f"{tag} {name}={value}")
            if name in ("src", "href") and re.match(r"(?i)\s*(https?:)?//", value or ""):
                self.bad.append(f"{tag} {name}={value}")
        self._json = tag == "script" and dict(attrs).get("type") == "application/json"
        if tag == "img" and dict(attrs).get("src") == "x":
            self.bad.append("the model's own img")

    def handle_data(self, data: str) -> None:
        if self._json and data.strip():
            self.data.append(data)


@pytest.fixture
def run(bench: Bench) -> Path:
    """A judged run in which every answer is hostile, and so is one judge reply and one question."""
    bench.questions(len(HOSTILE), "alpacaeval_full")
    path = bench.data / "hlt-lab/voicebench/alpacaeval_full/test.jsonl"
    rows = [json.loads(x) for x in path.read_text().splitlines()]
    rows[2]["prompt"] = "=HYPERLINK(\"http://evil\") <script>alert('evil-three')</script> \ud83d question"
    bench.rows(rows, "alpacaeval_full")
    asked: list[str] = []

    class Hostile(ToyRunner):
        name = "hostile"

        async def generate(self, sample: Sample, modality: Modality) -> Response:
            asked.append(sample.id)
            return Response(sample.id, text=HOSTILE[int(sample.id[1:])], sent=sent(sample))

    bench.runner(Hostile)
    reply = "<b onclick=alert('evil-four')>\ud800 \x1b[2J"
    with mock_server(texts=["4"], rules=[{"match": "evil-three", "set": {"texts": [reply]}}]) as judge:
        args = [
            "run",
            "--model",
            "hostile/<i>=m",
            "--task",
            OPEN,
            "--data-dir",
            bench.data,
            *judged(judge.url),
        ]
        for _ in range(2):  # the second call goes on with what the first left
            done = bench.here(*args, "--out", bench.tmp / "a")
            assert done.code == 1, done.said  # one reply can't be read
            assert "judge-unparseable" in done.err and "Traceback" not in done.err
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", done.out + done.err)
        assert len(asked) == len(HOSTILE)
    return bench.tmp / "a"


def test_answers_are_kept_as_they_were(run: Path) -> None:
    """Character by character, lone surrogates included; results.json holds none of it."""
    kept = {x["sample_id"]: x["text"] for x in lines(run / OPEN / "responses.jsonl")}
    assert kept == {f"q{k:02}": text for k, text in enumerate(HOSTILE)}
    assert "evil" not in json.dumps(Run(run).results())


def test_lone_surrogates_on_the_wire(bench: Bench) -> None:
    """Escapes that are no character, in answers and judge replies: the run ends well."""
    bench.questions(2, "alpacaeval_full")
    with mock_server(texts=["4 \ud800"]) as mock:
        args = openai(mock.url, "--task", OPEN, "--data-dir", bench.data, *judged(mock.url), "--out", "a")
        done = bench.process(*args)
        assert done.code in (0, 1) and "Traceback" not in done.err, done.said
        assert mock.requests() == 6, "two answers; a verdict that can't be read is asked for once more"
    assert [x["text"][:2] for x in lines(bench.tmp / "a" / OPEN / "responses.jsonl")] == ["4 ", "4 "]


def test_the_page_is_harmless(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    parser = Scripts()
    parser.feed(page)
    assert not parser.bad, parser.bad
    for text in ("<script>alert", "<img src=x", "<b onclick", "</textarea></pre>", "49${49}"):
        assert text not in page
    told = [json.loads(x) for x in parser.data]
    assert HOSTILE[0] in str(told) and HOSTILE[5] in str(told)  # shown, as text


def test_the_tables_are_harmless(run: Path) -> None:
    """No cell starts a formula in a spreadsheet, and every row has all its columns."""
    csv.field_size_limit(10_000_000)
    for path in (run / "csv").iterdir():
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
        assert len({len(r) for r in rows}) == 1, path
        for row in rows[1:]:
            for cell in row:
                if not re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", cell):
                    assert not re.match(r"[=+\-@\t\r]", cell), (path.name, cell[:80])
                assert "\x00" not in cell


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_without_unicode(bench: Bench, encoding: str) -> None:
    """A terminal that can't show a character gets an escape, not an end of the run."""
    bench.questions(1)
    bench.environ["PYTHONIOENCODING"] = encoding
    with mock_server(status=400, message="grün – 大") as mock:
        args = openai(mock.url, "--task", "voicebench/advbench", "--data-dir", bench.data, "--out", "a")
        done = bench.process(*args, encoding=encoding)
    assert done.code == 1 and "q00" in done.err, done.said


def test_a_reader_who_leaves_early(bench: Bench) -> None:
    """`run --json | head -1`: no traceback, and the exit code still tells."""
    bench.questions(1)
    reader_gone = (
        "import sys, os; r, w = os.pipe(); os.dup2(w, 1); os.close(w); os.close(r); "
        "from evalkit.cli import main; sys.exit(main())"
    )
    with mock_server(status=400) as mock:
        args = openai(
            mock.url, "--task", "voicebench/advbench", "--data-dir", bench.data, "--out", "a", "--json"
        )
        done = bench.process(*args, code=reader_gone)
    assert done.code == 1 and "Traceback" not in done.err and "q00" in done.err, done.said
    assert bench.process("list", code=reader_gone).code == 0


def test_output_that_has_no_room(bench: Bench) -> None:
    """`list > /dev/full` says so, once."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = bench.process("list", "suites", stdout=full)
    assert done.code == 3 and "No space left" in done.err and done.err.count("\n") == 1, done.said
