"""A gate's verdict as JUnit XML, as Jenkins, GitLab and GitHub's report actions read it.

A test suite per benchmark, a test case per check. A regression is a `failure`, what isn't comparable an `error`, and
what could not be told is `skipped`: readers of JUnit know no fourth state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from evalkit.gate import words
from evalkit.gate.model import Check, Outcome, Row
from evalkit.gate.verdicts import Verdict
from reports.safe import visible

_ELEMENTS: dict[Verdict, str] = {
    "regression": "failure",
    "not comparable": "error",
    "inconclusive": "skipped",
    "skipped": "skipped",
}


def junit(outcome: Outcome) -> str:
    """The document. No time and no host is in it: the same verdict gives the same bytes."""
    top = ET.Element("testsuites", name="evalkit gate")
    benchmarks = dict.fromkeys(r.task.partition("/")[0] for r in outcome.rows)
    for benchmark in benchmarks:
        rows = [r for r in outcome.rows if r.task.partition("/")[0] == benchmark]
        top.append(_suite(outcome, benchmark, rows))
    _count(top, [c for r in outcome.rows for c in r.checks])
    ET.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(top, encoding="unicode") + "\n"


def _suite(outcome: Outcome, benchmark: str, rows: Sequence[Row]) -> ET.Element:
    suite = ET.Element("testsuite", name=visible(benchmark))
    _count(suite, [c for r in rows for c in r.checks])
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("baseline", outcome.baseline),
        ("candidate", outcome.candidate),
        ("policy", words.policy_line(outcome)),
    ):
        ET.SubElement(properties, "property", name=name, value=visible(value))
    for row in rows:
        suite.extend(_cases(outcome, row))
    return suite


def _cases(outcome: Outcome, row: Row) -> Iterator[ET.Element]:
    for check in row.checks:
        case = ET.Element(
            "testcase",
            classname=visible(row.task.replace("/", ".")),
            name=f"{visible(row.name)}: {check.name}",
            time="0",
        )
        if (element := _ELEMENTS.get(check.verdict)) is not None:
            message = visible(f"{words.SHOWN.get(check.verdict, check.verdict)}: {check.reason}").replace(
                "\n", " "
            )
            told = ET.SubElement(case, element, message=message)
            if element != "skipped":
                told.set("type", check.verdict.replace(" ", "-"))
                told.text = _body(outcome, row, check)
        yield case


def _body(outcome: Outcome, row: Row, check: Check) -> str:
    lines = [
        f"{row.name} ({row.label})",
        f"baseline {outcome.baseline}: {words.number(row.a, row.decimals)}",
        f"candidate {outcome.candidate}: {words.number(row.b, row.decimals)}",
        f"difference: {words.change(row)}, margin {words.margin(row)}",
        check.reason,
        *row.notes,
    ]
    return visible("\n".join(lines))


def _count(element: ET.Element, checks: Sequence[Check]) -> None:
    found = [_ELEMENTS.get(c.verdict, "") for c in checks]
    element.set("tests", str(len(checks)))
    for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        if name != "skipped" or element.tag == "testsuite":  # the schema knows no `skipped` of all suites
            element.set(name, str(found.count(kind)))
    element.set("time", "0")
