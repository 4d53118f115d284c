"""The commands and their arguments. What a command does is imported when it is called, not before."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

from evalkit.cli import options, replicas


def _later(module: str) -> Callable[[argparse.Namespace], int]:
    def call(args: argparse.Namespace) -> int:
        return int(import_module(f"evalkit.cli.{module}").call(args))

    return call


def add_all(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare every command."""
    for add in (
        _demo,
        _list,
        _show,
        _run,
        _score,
        _vocode,
        _report,
        _compare,
        _gate,
        _plan,
        _reproduce,
        _export,
        _judge_audit,
        _manifest,
        _prompts,
        _doctor,
    ):
        add(sub)


def _add(
    sub: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    p = sub.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    p.set_defaults(call=_later(name if name != "list" else "listing"))
    return p


def _demo(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = _add(sub, "demo", "evaluate a real, small speech model on real audio, on this CPU")
    p.add_argument("--out", metavar="DIR", default="runs/demo", help="run directory (default: runs/demo)")
    p.add_argument(
        "--limit", type=options.positive, metavar="N", help="only the first N samples of each task"
    )
    p.add_argument("--progress", choices=("auto", "bars", "lines", "none"), default="auto")
    p.add_argument("--json", action="store_true", help="print results.json instead of a table")
    p.add_argument(
        "--no-cache", action="store_true", help="neither use nor fill the cache of earlier answers"
    )


def _list(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = _add(
        sub,
        "list",
        "show the benchmarks, runners, judges, suites, scoring options, formats of predictions or prices there are",
    )
    p.add_argument(
        "what",
        nargs="?",
        default="all",
        choices=("all", "benchmarks", "runners", "judges", "suites", "options", "formats", "prices"),
    )
    p.add_argument("--json", action="store_true", help="for machines")


def _show(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = _add(sub, "show", "print samples of a task: what the model is asked, and what judges compare with")
    p.add_argument("task", help="the task, e.g. voicebench/sd-qa")
    p.add_argument("--suite", help="take the data of this suite (smoke brings its own)")
    options.add_data(p)
    p.set_defaults(limit=3)
    p.add_argument(
        "--model", metavar="RUNNER/MODEL", help="also print what this model would be sent, audio by its facts"
    )
    p.add_argument("-M", action="append", metavar="NAME=VALUE", help="model argument")
    p.add_argument("--ids", action="store_true", help="print the id of every sample, and nothing else")
    p.add_argument("--json", action="store_true", help="one JSON object a line")
    group = p.add_argument_group("what judges were sent (asks nobody, needs no key)")
    group.add_argument(
        "--run",
        metavar="RUN",
        help="of this run's answers, print every message to each judge, and what it said",
    )
    group.add_argument("--sample", action="append", metavar="ID", help="only this answer; may be repeated")
    group.add_argument(
        "--predictions", metavar="FILE", help="the predictions that were scored, if they brought the rows"
    )
    options.add_judges(group, "as if by this one (default: the run's)")


def _run(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = _add(sub, "run", "evaluate a model: generate, transcribe, judge, report; resumes by itself")
    group = p.add_argument_group("what")
    group.add_argument(
        "--model", required=True, metavar="RUNNER/MODEL", help="e.g. openai/gpt-4o-audio-preview"
    )
    group.add_argument("-M", action="append", metavar="NAME=VALUE", help="model argument, e.g. base_url=...")
    group.add_argument(
        "--task", action="append", metavar="GLOB", help="tasks, e.g. 'voicebench/*'; may be repeated"
    )
    group.add_argument("--suite", help="a named list of tasks")
    options.add_data(p)
    options.add_scoring(p)
    options.add_output(p)
    options.add_how(p)
    replicas.add(p)


def _score(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = _add(sub, "score", "score predictions made elsewhere, without running a model")
    p.add_argument(
        "predictions",
        nargs="+",
        metavar="FILE",
        help="predictions, as one of the public scorers reads them or in our JSONL (`list formats`); or TASK=FILE",
    )
    p.add_argument(
        "--task",
        action="append",
        metavar="GLOB",
        help="the task they answer; of files for several: which of them",
    )
    p.add_argument("--format", metavar="NAME", help="format of the files (default: told by their content)")
    p.add_argument(
        "--ref", metavar="FILE", help="references (`id text` a line) for hypotheses in Kaldi's format"
    )
    p.add_argument("--answer-column", metavar="NAME", help="the column that holds the model's answer")
    p.add_argument(
        "--no-recorded", action="store_true", help="leave recorded judge replies unread, and judge anew"
    )
    p.add_argument("--label", help="what tables call the model (default: the file's name)")
    p.add_argument(
        "--audio-dir", metavar="DIR", help="folder that audio paths lie in (default: the file's own)"
    )
    options.add_data(p)
    options.add_scoring(p)
    options.add_output(p)
    p.add_argument("--judge-concurrency", type=options.positive, default=32, metavar="N")
    p.add_argument("--retries", type=options.positive, default=5, metavar="N")
    p.add_argument("--no-cache", action="store_true", help="neither use nor fill the cache of judge replies")
    p.add_argument("--dry-run", action="store_true", help="say what would be asked and cost, and stop")


def _vocode(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from evalkit.cli import vocode_args

    vocode_args.add(_add(sub, "vocode", "make audio of the speech ids that a run kept, for `score`"))


def _report(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from evalkit.cli import report_args

    report_args.add(_add(sub, "report", "write pages, tables and CSV from one or more runs"))


def _reproduce(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from evalkit.cli import reproduce_args

    p = _add(
        sub, "reproduce", "run what a table of the report needs, and keep a ledger of what was reproduced"
    )
    reproduce_args.add(p)


def _export(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from evalkit.cli import export_args

    p = _add(
        sub,
        "export",
        "write a run as a model card's model-index, to MLflow, to Weights & Biases, or as files",
    )
    export_args.add(p)


def _compare(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from evalkit.cli import compare_args

    p = _add(sub, "compare", "compare runs sample by sample: what differs, by how much, how sure that is")
    compare_args.add(p)


def _plan(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from evalkit.cli import plan_args

    p = _add(
        sub, "plan", "say how many samples each task needs, and what difference the existing sets can detect"
    )
    plan_args.add(p)


def _gate(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from evalkit.cli import gate_args

    p = _add(
        sub, "gate", "hold a candidate's run against a baseline's by a policy; the exit code is the verdict"
    )
    gate_args.add(p)


def _judge_audit(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from evalkit.cli import judge_audit_args

    p = _add(
        sub, "judge-audit", "measure how far to trust a judge: against people, another judge, itself; biases"
    )
    p.set_defaults(call=_later("judge_audit"))
    judge_audit_args.add(p)


def _manifest(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = _add(sub, "manifest", "look at a manifest of spoken style and empathy (speech-style)")
    p.add_argument(
        "what",
        choices=("check", "separate"),
        help="check: fields, ids, audio, and the meta file beside it; separate: asks a text model (--judge) "
        "whether the words alone give the emotion away, as they must for one empathy track and not for the other",
    )
    p.add_argument("file", metavar="FILE", help="manifest.jsonl, or the folder it lies in")
    p.add_argument("--judge", metavar="RUNNER/MODEL", help="who reads (separate)")
    p.add_argument("-J", action="append", metavar="NAME=VALUE", help="option of the judge")
    options.add_prompts(p)
    p.add_argument(
        "--write", metavar="NAME", help="write the items that belong to their track to this file beside it"
    )
    p.add_argument("--json", action="store_true", help="for machines")


def _prompts(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = _add(sub, "prompts", "show the judges' rubrics, and bring the public texts that they stand for")
    p.add_argument(
        "what",
        nargs="?",
        choices=("list", "show", "import", "verify"),
        help="list: all rubrics; show: one of them, head and all; import: find the public texts in a checkout, a file "
        "or an archive of a toolkit, and keep them; verify: check what is kept, and what it is enough for",
    )
    p.add_argument("names", nargs="*", metavar="NAME|PATH", help="a rubric (show), or where to look (import)")
    options.add_prompts(p)
    p.add_argument("--protocol", help="which official text, where a rubric stands for several (show)")
    p.add_argument("--body", action="store_true", help="without the head (show)")
    p.add_argument("--json", action="store_true", help="for machines")


def _doctor(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    p = _add(sub, "doctor", "show what is installed, found and missing, and what would mend it")
    p.add_argument("--ray-address", metavar="ADDR", help="also show the machines of this Ray cluster")
    p.add_argument("--json", action="store_true", help="for machines")
