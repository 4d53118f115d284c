"""The modes of `judge-audit` and their arguments; declared apart, so that a bare start imports nothing of it."""

from __future__ import annotations

import argparse

from evalkit.cli import options


def add(p: argparse.ArgumentParser) -> None:
    """The modes and their arguments."""
    modes = p.add_subparsers(dest="what", metavar="MODE")
    m = modes.add_parser("humans", help="agreement of a judge with people, and of people among themselves")
    m.add_argument(
        "--human",
        nargs="+",
        required=True,
        metavar="PATH",
        help="labels by people: JSONL, CSV or TSV, a file per annotator or one with a column that names them; "
        "or the folder they lie in",
    )
    judge = m.add_mutually_exclusive_group(required=True)
    judge.add_argument(
        "--run", metavar="RUN", help="the run whose judge is audited; samples are matched by id"
    )
    judge.add_argument("--scores", metavar="FILE", help="or a file of a judge's scores")
    m.add_argument(
        "--id", metavar="NAME[,NAME]", help="columns that name a sample (default: id; id,instruct_id)"
    )
    m.add_argument(
        "--label", metavar="NAME", help="column of people's labels (default: label, score, mos, ...)"
    )
    m.add_argument(
        "--score", metavar="NAME", help="column of the judge's scores (default: score, gemini_score, ...)"
    )
    m.add_argument(
        "--annotator", metavar="NAME", help="column that names the annotator (default: annotator, rater)"
    )
    m.add_argument("--group", metavar="NAME", help="column to make subsets by, beside the run's own groups")
    m.add_argument("--map", action="append", metavar="WORD=NUMBER", help="what a label in words stands for")
    _others(m)
    _common(m)
    m = modes.add_parser("judges", help="agreement of two judges, or two wordings, on the same answers")
    m.add_argument("--run", required=True, metavar="RUN", help="a run whose answers two judges scored")
    m.add_argument("--against", metavar="RUN", help="or the second judge's run, of the same answers")
    m.add_argument(
        "--judges", nargs="+", metavar="WORDS", help="only judges whose signatures hold these words"
    )
    _common(m)
    m = modes.add_parser("repeats", help="how often a judge agrees with itself when it is asked again")
    _live(m)
    m.add_argument(
        "--repeats",
        type=options.positive,
        default=5,
        metavar="N",
        help="times each answer is judged (default 5)",
    )
    m = modes.add_parser(
        "probes", help="what moves a judge that should not: length, language, orders, position"
    )
    _live(m)
    m.add_argument(
        "--human", nargs="+", metavar="PATH", help="labels by people, for what is to be held constant"
    )
    m.add_argument("--id", metavar="NAME", help="column that names a sample there")
    m.add_argument("--label", metavar="NAME", help="column of people's labels there")
    m.add_argument(
        "--against", metavar="RUN", help="run of another model, whose answers are put beside these"
    )
    _others(m)
    m.add_argument("--probe", action="append", metavar="NAME", help="only this probe; may be repeated")


def _others(p: argparse.ArgumentParser) -> None:
    """Judges beside those that count."""
    p.add_argument(
        "--judges",
        nargs="+",
        metavar="WORDS",
        help="verdicts of judges on record whose signatures hold these words (default: those that results.json counts)",
    )


def _live(p: argparse.ArgumentParser) -> None:
    """What modes have in common that may ask."""
    p.add_argument("--run", required=True, metavar="RUN", help="the run whose answers are judged again")
    p.add_argument("--suite", help="take the data of this suite, as `run` did")
    p.add_argument(
        "--predictions", metavar="FILE", help="the predictions that were scored, if they brought the rows"
    )
    options.add_scoring(p)
    options.add_data(p)
    p.add_argument("--judge-concurrency", type=options.positive, default=16, metavar="N")
    p.add_argument(
        "--retries", type=options.positive, default=5, metavar="N", help="tries per request (default 5)"
    )
    _common(p)


def _common(p: argparse.ArgumentParser) -> None:
    """What all modes have in common."""
    p.add_argument("--task", metavar="TASK", help="the task, where the run has several")
    p.add_argument(
        "--metric", metavar="NAME", help="the metric whose verdicts are audited (default: the headline)"
    )
    p.add_argument(
        "--draws",
        type=options.positive,
        default=1000,
        metavar="N",
        help="resamples per interval (default 1000)",
    )
    p.add_argument(
        "--samples",
        type=options.positive,
        default=100,
        metavar="N",
        help="samples to list that differ (default 100)",
    )
    p.add_argument("--json", action="store_true", help="for machines")
    p.add_argument("--no-report", action="store_true", help="don't write the page and the CSV again")
