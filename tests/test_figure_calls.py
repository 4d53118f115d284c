"""Figures from the command line and from YAML files: what may be asked for, what is written, what is refused."""

from __future__ import annotations

import json
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from report_fixtures import make_run

from evalkit import published as paper
from evalkit.errors import UsageError
from reports.figures.drawing import composed
from reports.figures.points import GAP
from reports.figures.spec import chosen_models, figure_1
from reports.figures.specfile import load_figure, parse_figure
from reports.runs import load_runs
from tests.cli_fixtures import Bench, bench, refused
from tests.figure_fixtures import parse, titled

__all__ = ["bench"]

DEMO_YAML = """
title: Mine
models: [Fun-Audio-Chat-8B]
panels:
  - kind: bars
    title: Left
    axes:
      - {section: VoiceBench (S2T), row: SD-QA}
      - {section: VoiceBench (S2T), row: AlpacaEval, label: Alpaca}
      - {task: voicebench/wildvoice}
      - {overall: voicebench}
  - kind: radar
    axes:
      - {section: Speech Recognition, row: LibriSpeech test-other, invert: true}
      - {section: Audio Understanding, row: MMAU}
      - {section: Audio Understanding, row: MMSU, scale: [25, 100]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("figures")
    make_run(root / "real")
    make_run(root / "other", label="other-model")
    (root / "mine.yaml").write_text(DEMO_YAML, encoding="utf-8")
    return root


def test_a_run_stands_beside_the_printed_models(folder: Path) -> None:
    views = load_runs([folder / "real"])
    spec = load_figure(str(folder / "mine.yaml"))
    spec, (printed, ours) = composed(views, spec)
    assert (printed.label, printed.ours, ours.label, ours.ours) == (
        "Fun-Audio-Chat-8B",
        False,
        "my-model",
        True,
    )
    entry = views[0].tasks["voicebench/sd-qa"]
    metric = entry["metrics"][entry["headline"]]
    sd_qa, alpaca, wild, overall = ours.points[0]
    assert sd_qa.at == pytest.approx(metric["value"]) and sd_qa.ci == pytest.approx(tuple(metric["ci"]))
    assert sd_qa.detail == "37 of 40" and sd_qa.notes[-1] == "not every sample has a score"
    head = views[0].tasks["voicebench/alpacaeval_full"]
    value = head["metrics"][head["headline"]]["value"]
    assert alpaca.at == pytest.approx(100 * (value - 1) / 4)
    assert overall.at == pytest.approx(views[0].overalls["voicebench"]["value"])
    rating = views[0].tasks["voicebench/wildvoice"]
    assert rating["metrics"][rating["headline"]]["unit"] == "1-5"
    value = rating["metrics"][rating["headline"]]["value"]
    assert wild.at == pytest.approx(100 * (value - 1) / 4) and spec.axes[2].scale == (1.0, 5.0)
    assert printed.points[0][2] is GAP and printed.points[0][3] is GAP
    assert printed.points[1][0].at == pytest.approx(100 - 4.13)
    assert printed.points[1][2].at == pytest.approx(100 * (67.8 - 25) / 75)
    assert [p.at for p in ours.points[1]] == [None] * 3


def test_sets_of_models() -> None:
    spec = figure_1()
    assert chosen_models(None, spec) == chosen_models("8b", spec) == paper.sections("2")[0].models
    assert chosen_models("large", spec) == paper.sections("1")[0].models
    assert chosen_models("none", spec) == ()
    assert chosen_models(" kimi-audio , Fun-Audio-Chat-8B,Kimi-Audio", spec) == (
        "Kimi-Audio",
        "Fun-Audio-Chat-8B",
    )
    everybody = chosen_models("all", spec)
    assert "Moshi" not in everybody and len(everybody) == 15  # the duplex models are in Table 7 alone
    with pytest.raises(UsageError, match="did you mean 'Kimi-Audio'"):
        chosen_models("Kimi-Audi", spec)


def axis_yaml(text: str) -> str:
    return f"panels: [{{axes: [{text}]}}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1", "a mapping"),
        ("a: [", "no YAML"),
        ("title: x\ntitle: y", "no YAML (line 2): the key 'title' is there twice"),
        ("title: x", "needs `panels`"),
        ("panels: []", "needs `panels`"),
        ("panels: [{axes: []}]", "panel 1 needs `axes`"),
        ("panels: [{kind: pie, axes: [{task: a}]}]", "bars or radar"),
        ("panels: [{kind: radar, axes: [{task: a}, {task: b}]}]", "at least 3 axes"),
        ("panels: [{axis: []}]", "did you mean 'axes'"),
        (axis_yaml("{}"), "panel 1, axis 1: name one thing"),
        (axis_yaml("{row: Overall}"), "name one thing"),
        (axis_yaml("{task: a, overall: b}"), "name one thing"),
        (axis_yaml("{section: VoiceBench, row: Overall}"), "did you mean 'VoiceBench (S2T)'"),
        (axis_yaml("{section: VoiceBench (S2T), row: SDQA}"), "SD-QA"),
        (axis_yaml("{section: VoiceBench (S2T), row: SD-QA, table: 9}"), "no such table"),
        (axis_yaml("{section: Overall, row: Overall}"), "add language"),
        (axis_yaml("{section: Speech Recognition, row: LibriSpeech test-clean}"), "invert: true"),
        (axis_yaml("{task: a, scale: [5, 1]}"), "scale is"),
        (axis_yaml("{task: a, scale: high}"), "scale is"),
        (axis_yaml("{task: a, scale: [.nan, 1]}"), "scale is"),
        (axis_yaml("{task: a, invert: 3}"), "invert is"),
        (axis_yaml("{task: a, invert: true, scale: [0, 50]}"), "leave out scale"),
        (axis_yaml("{section: Overall, row: Overall, language: no}"), "language is a text"),
        ("models: [Nobody]\n" + axis_yaml("{task: a}"), "no model 'Nobody'"),
        ("models: 3\n" + axis_yaml("{task: a}"), "`models` is"),
    ],
)
def test_a_file_that_says_too_little_or_too_much(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        load_figure(str(path))
    assert "f.yaml" in str(caught.value)


def test_the_file_of_the_docs(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs/figures.md").read_text(encoding="utf-8")
    [(name, body)] = re.findall(r"<!-- file: (\S+) -->\n```yaml\n(.*?)```", page, re.S)
    path = tmp_path / Path(name).name
    path.write_text(body, encoding="utf-8")
    spec, series = composed([], load_figure(str(path)))
    assert [len(p.axes) for p in spec.panels] == [3, 4] and [s.filled for s in series] == [6, 6]


def test_figure_1_can_be_written_as_a_file() -> None:
    """What the built-in figure shows can be said in YAML word for word."""
    spec = figure_1()
    data = {
        "title": spec.title,
        "panels": [
            {
                "kind": p.kind,
                "title": p.title,
                "axes": [
                    {
                        "label": a.label,
                        "section": r.section,
                        "row": r.name,
                        **({"language": r.language} if r.language else {}),
                    }
                    for a in p.axes
                    for r in a.rows[:1]
                ],
            }
            for p in spec.panels
        ],
    }
    assert parse_figure(data, "figure-1") == spec


def test_the_same_call_gives_the_same_bytes(bench: Bench) -> None:
    for seed in ("0", "1"):
        bench.environ["PYTHONHASHSEED"] = seed
        done = bench.process("report", "--figure", "1", "--models", "all", "--out", bench.tmp / seed)
        assert done.code == 0, done.said
    a, b = (bench.tmp / s / "figure-1.svg" for s in "01")
    assert a.read_bytes() == b.read_bytes()
    parse(a.read_text(encoding="utf-8"))


def test_figure_1_from_the_command_line(bench: Bench, folder: Path) -> None:
    run = folder / "real"
    done = bench.here(
        "report", run, "--figure", "1", "--models", "Fun-Audio-Chat-8B,Kimi-Audio", "--out", bench.tmp
    )
    assert done.code == 0, done.said
    assert done.out.split() == [str(bench.tmp / "figure-1.svg")]
    root = parse((bench.tmp / "figure-1.svg").read_text(encoding="utf-8"))
    titled(root, "my-model, VoiceBench: ")
    titled(root, "Kimi-Audio, MMAU: ")
    said = bench.here("report", run, "--figure", folder / "mine.yaml", "--json")
    [told] = json.loads(said.out)
    assert told["figure"] == "mine" and told["panels"][0]["axes"][0]["values"][1]["model"] == "my-model"
    again = bench.here("report", run, "--figure", "1", "--stdout")
    parse(again.out)
    both = bench.here(
        "report", run, folder / "other", "--figure", folder / "mine.yaml", "--out", bench.tmp / "x.svg"
    )
    assert both.out.split() == [str(bench.tmp / "x.svg")]


def test_what_the_command_refuses(bench: Bench, folder: Path) -> None:
    refused(bench.here("report", "--figure", "2"), "no figure '2'", "YAML")
    refused(bench.here("report", "--figure", "none.yaml"), "no file 'none.yaml'")
    refused(bench.here("report", "--figure", "1", "--models", "GPT5"), "no model 'GPT5'")
    refused(bench.here("report", "--figure", "1", "--models", "none"), "nothing to draw")
    refused(bench.here("report", "--figure", "1", "--format", "gif"), "'gif'", "svg, png")
    refused(bench.here("report", "--figure", "1", "--table", "2"), "two calls")
    refused(bench.here("report", "--figure", "1", "--delta", "Kimi-Audio"), "--delta belongs to --table")
    refused(
        bench.here("report", folder / "real", "--models", "8B"), "--models belongs to --figure", "--baselines"
    )
    refused(bench.here("report", bench.tmp / "nowhere", "--figure", "1"), "nowhere")
    refused(bench.here("report", "--figure", "1", "--format", "png", "--stdout"), "only SVG")
    refused(bench.here("report", "--figure", "1", "--out", bench.tmp / "x.pdf"), ".svg or .png")
    assert not (bench.tmp / "x.pdf").exists()


def test_a_task_where_lower_is_better_has_to_be_inverted(folder: Path) -> None:
    [view] = load_runs([folder / "real"])
    entry = view.tasks["voicebench/sd-qa"]
    wer = {**entry["metrics"][entry["headline"]], "higher_is_better": False, "value": 4.2}
    tasks = {"asr/x": {**entry, "metrics": {"wer": wer}, "headline": "wer"}}
    runs = [replace(view, results={**view.results, "tasks": tasks, "overall": {}})]
    axis: dict[str, object] = {"task": "asr/x"}
    with pytest.raises(UsageError, match=r"lower is better in asr/x.*invert: true"):
        composed(runs, parse_figure({"models": "none", "panels": [{"axes": [axis]}]}, "x"))
    axis["invert"] = True
    _, [ours] = composed(runs, parse_figure({"models": "none", "panels": [{"axes": [axis]}]}, "x"))
    assert (ours.points[0][0].text, ours.points[0][0].at) == ("4.20", pytest.approx(95.8))


def test_the_page_has_the_picture(bench: Bench, folder: Path) -> None:
    """Inline, in the page's colours, once the run fills three axes; and under the page's strict policy."""
    run = bench.tmp / "run"
    shutil.copytree(folder / "real", run)
    made = bench.here("report", run, "--format", "html")
    assert made.code == 0 and 'class="picture"' not in (run / "report.html").read_text(encoding="utf-8")
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    for name, row in (("wildvoice", "MMAU"), ("alpacaeval_full", "MMSU")):
        cell = {"table": "3", "section": "Audio Understanding", "row": row}
        results["tasks"][f"voicebench/{name}"]["cells"] = [cell]
    (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
    assert bench.here("report", run, "--format", "html").code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    [svg] = re.findall(r'<svg [^>]*class="picture".*?</svg>', page, re.S)
    titled(parse(svg), "my-model, MMSU: ")


def test_png(bench: Bench) -> None:
    pytest.importorskip("resvg_py", reason="extra png")
    done = bench.here("report", "--figure", "1", "--format", "svg,png", "--out", bench.tmp)
    assert done.code == 0, done.said
    data = (bench.tmp / "figure-1.png").read_bytes()
    wide, high = (int.from_bytes(data[k : k + 4], "big") for k in (16, 20))
    root = ET.parse(bench.tmp / "figure-1.svg").getroot()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert (wide, high) == pytest.approx([2 * float(root.attrib[k]) for k in ("width", "height")], abs=2)


def test_a_named_file_says_its_format(bench: Bench) -> None:
    pytest.importorskip("resvg_py", reason="extra png")
    for name in ("a.png", "a.svg"):
        done = bench.here("report", "--figure", "1", "--out", bench.tmp / name)
        assert done.code == 0 and done.out == f"{bench.tmp / name}\n", done.said
    assert (bench.tmp / "a.png").read_bytes().startswith(b"\x89PNG")


def test_png_without_the_extra_or_without_fonts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No half of the files, and no picture that lost its text."""
    resvg = pytest.importorskip("resvg_py", reason="extra png")
    from reports.figures import png

    call = ("report", "--figure", "1", "--format", "svg,png", "--out", bench.tmp / "o")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "resvg_py", None)
        refused(bench.here(*call), "evalkit[png]", "--format svg")
    real = resvg.svg_to_bytes
    png._fonts.cache_clear()
    monkeypatch.setattr(resvg, "svg_to_bytes", lambda **k: real(**k, skip_system_fonts=True))
    refused(bench.here(*call), "needs a font", "--format svg")
    png._fonts.cache_clear()
    assert not (bench.tmp / "o").exists()
