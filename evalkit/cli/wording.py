"""`--prompts own|official|DIR`: whose rubrics the judges of this call use."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.interfaces import Roles
from evalkit.task import Task

OPTION = "prompts"
"""Name of the choice among a run's options."""


def chosen(args: argparse.Namespace) -> dict[str, str]:
    """The choice as a scoring option; none for our own words, the default. Raises UsageError for no such folder."""
    given = getattr(args, "prompts", None)
    if given in (None, "own"):
        return {}
    if given != "official" and not Path(given).is_dir():
        raise UsageError(f"--prompts {given}: write own, official, or a folder that holds rubrics (NAME.j2)")
    return {OPTION: str(given)}


def check_complete(tasks: Iterable[Task], protocol: str | None, roles: Roles) -> None:
    """All rubrics that these tasks need are there in the wording chosen, so that no table mixes wordings.

    Raises:
        UsageError: some are missing, altered or broken; all of those are named.
    """
    wording = str(roles.options.get(OPTION) or "own")
    if wording == "own":
        return
    from judges.manner import Manner
    from judges.official import MissingWording
    from judges.prompts import NoSuchFile, StandsFor

    manner = Manner(wording=wording)
    missing: list[StandsFor] = []
    lacking: list[str] = []
    told: list[str] = []
    for name, under in dict.fromkeys(needed(tasks, protocol, roles)):
        try:
            manner.rubric(name, under)
        except MissingWording as exc:
            missing += exc.missing
        except NoSuchFile as exc:
            lacking += exc.names
        except UsageError as exc:
            told.append(str(exc))
    if missing:
        raise MissingWording(missing)
    if lacking:
        raise NoSuchFile(wording, lacking)
    if told:
        raise UsageError(
            told[0] + (f" (and {len(told) - 1} more: {'; '.join(told[1:])})" if told[1:] else "")
        )


def needed(
    tasks: Iterable[Task], protocol: str | None, roles: Roles | None = None
) -> Iterator[tuple[str, str]]:
    """(rubric, protocol of its public text) of everything that judges of these tasks ask for under a protocol.

    Raises:
        UsageError: a task has no such protocol, or a scoring option can't be.
    """
    from judges.manner import noting_rubrics

    for task in tasks:
        with noting_rubrics() as noted:
            task.variant(protocol)[1].judges(roles or Roles())
        yield from noted
