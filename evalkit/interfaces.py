"""What a plug-in looks like: runner, judge, chat model, transcriber.

Floor 2. These are the only types a runner or a judge has to know beside the records; the engine
talks to plug-ins through nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, runtime_checkable

from evalkit.chat import ChatModel
from evalkit.errors import RunnerError
from evalkit.records import JSON, Audio, Modality, Response, Sample, Score, Transcript, Verdict


class Runner(ABC):
    """A model under test.

    A runner implements `identity` and one of `generate` (concurrent: an API, many at once) or
    `generate_batch` (a local model that takes batches; called in a worker thread, one batch at a time).
    It raises `RunnerError` for a failed request; the engine retries, counts and stores.

    Class attributes:
        name: how the user calls it: ``--model NAME/MODEL``.
        modalities: which modalities it can serve.
        concurrency: how many `generate` calls may be under way (the user's -M concurrency wins).
        batch_size: how many samples `generate_batch` likes at once.
        demo: True for models that are no baseline of anything; every table labels their rows.
    """

    name: ClassVar[str] = ""
    modalities: frozenset[Modality] = frozenset({Modality.S2T, Modality.T2T})
    concurrency: int = 1
    batch_size: int = 1
    demo: bool = False

    @abstractmethod
    def identity(self) -> Mapping[str, JSON]:
        """All that decides the answers: model, revision or checkpoint digest, prompts. No keys.

        "model" names it in tables; "decoding", a mapping, shows in signatures as `gen=`.
        """

    def prepare(self, modality: Modality) -> None:
        """Load or check what must be there before the first sample. Raises UsageError."""
        return None

    async def generate(self, sample: Sample, modality: Modality) -> Response:
        """Answer one sample. Audio parts carry `data`, `sha256`, `seconds` and `sample_rate`."""
        raise NotImplementedError

    def generate_batch(self, samples: Sequence[Sample], modality: Modality) -> list[Response]:
        """Answer a batch, in order. Raise `OutOfMemory` when it does not fit."""
        raise NotImplementedError

    async def preview(self, sample: Sample, modality: Modality) -> JSON:
        """What the model would be sent for a sample, audio by its facts; None where a runner can't say."""
        return None

    @property
    def is_batch(self) -> bool:
        """True when this runner takes batches."""
        return type(self).generate_batch is not Runner.generate_batch

    async def close(self) -> None:
        """Free what was opened (connections, processes). Called once, also after an interrupt."""
        return None


@runtime_checkable
class Transcriber(Protocol):
    """An ASR engine bound to the role ``--asr``. Called in a worker thread."""

    @property
    def signature(self) -> str:
        """Engine, weights and decoding, e.g. "faster-whisper/large-v3:beam=5,lang=auto"."""
        ...

    def transcribe(self, audios: Sequence[Audio], language: str | None) -> list[Transcript]:
        """One transcript per audio, in order; `language` is an ISO code or None for detection.

        A piece that can't be transcribed gives a `Transcript` with `error` set, not an exception.
        """
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a judge is shown of a response.

    Attributes:
        text: the words to judge: the response's text, or the transcript of its speech when the
            judge reads speech.
        response: the whole response (never an errored one).
        transcript: the transcript of its speech, when one was made.
        recorded: raw judge replies recorded earlier, to be parsed instead of asking a judge.
    """

    text: str
    response: Response
    transcript: Transcript | None = None
    recorded: tuple[str, ...] | None = None


JudgeRole = Literal["judge", "lalm-judge"]


class Judge(ABC):
    """Turns an answer into verdicts.

    A rule judge implements `score`: pure, fast, no I/O. A judge that asks a model sets
    ``asks_model = True`` and implements `ask`. A judge that computes for long (DNSMOS) sets
    ``heavy = True`` and is called in a worker thread.

    Attributes:
        metrics: names of the metrics it gives, one verdict each.
        reads: "text" (the response's words), "speech" (the transcript of its speech) or
            "audio" (the sound itself).
        judges_silence: True for a judge of speech that has a verdict on a model that was to speak and did not.
        judges_absence: True for a judge that sees every answer, and says itself what comes of one that lacks
            what it reads.
        judges_failure: True for a rule judge to which a request that failed is an empty answer, by the benchmark's
            rule: results count it (from question and target on record), and still tell it as errored.
        role: the role of the model that an `asks_model` judge asks: "judge" (text) or "lalm-judge" (hears).
        recorded: True for an `asks_model` judge that reads replies recorded earlier, where an answer has some.
        recorded_by_name: of these, it reads only replies given for its metric by name.
        languages: ISO codes of the speech or text it is defined for; None: any. It refuses others itself, sample by
            sample ("not-english").
        late: True for an `asks_model` judge that judges answers in groups, once all are there: see `group`.
        in_order: True when `settle` has to see the verdicts of the whole task, in the data set's order.
    """

    metrics: tuple[str, ...] = ()
    reads: Literal["text", "speech", "audio"] = "text"
    asks_model: bool = False
    heavy: bool = False
    judges_silence: bool = False
    judges_absence: bool = False
    judges_failure: bool = False
    role: JudgeRole = "judge"
    recorded: bool = False
    recorded_by_name: bool = False
    late: bool = False
    languages: tuple[str, ...] | None = None
    in_order: bool = False

    async def ready(self) -> None:
        """Find out what the signature depends on (what the judge's model can do). Called once, before anything is
        judged or signed. Raises RunnerError, UsageError."""
        return None

    @property
    @abstractmethod
    def signature(self) -> str:
        """One short token that changes whenever verdicts could: "mcq-templates", "gpt-4o-mini x3 open@1b7c"."""

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        """The verdicts, one per metric. Bad input is a verdict with value None and a reason, no exception."""
        raise NotImplementedError

    async def ask(self, sample: Sample, answer: Answer) -> list[Verdict]:
        """Like `score`, for judges that ask a model. May raise `RunnerError`, which the engine retries."""
        raise NotImplementedError

    def group(self, sample: Sample) -> str:
        """Of a `late` judge: the group whose answers it has to see together; "" for a sample it judges alone."""
        return ""

    async def ask_together(self, members: Sequence[tuple[Sample, Answer]]) -> list[Verdict]:
        """Of a `late` judge (of one metric): a verdict for each answer of a group, in order. May raise RunnerError."""
        raise NotImplementedError

    def gave_up(self, error: RunnerError) -> list[Verdict]:
        """The verdicts of an `asks_model` judge when its last attempt failed, too: unscored, asked again next time."""
        return self.unscored(
            f"judge-{error.kind}: {error.message} (after {error.attempts} {'try' if error.attempts == 1 else 'tries'})"
        )

    def settle(self, scores: Sequence[Score]) -> list[Score]:
        """This judge's scores of a whole task, in the data set's order, made final.

        For public rules in which a verdict depends on the record before (`in_order`); called when results
        are built, never for samples that errored. The scores on disk stay as they are.
        """
        return list(scores)

    def unscored(self, reason: str, **detail: JSON) -> list[Verdict]:
        """The same "unscored" verdict for each metric of this judge."""
        return [Verdict(m, None, reason=reason, detail=detail) for m in self.metrics]


@dataclass(frozen=True)
class Roles:
    """Who helps to score: bound on the command line, never named in a task.

    `options` are the user's scoring options (``-J``-independent): "seed", "utmos_weights", ...
    """

    judge: ChatModel | None = None
    asr: Transcriber | None = None
    lalm: ChatModel | None = None
    options: Mapping[str, JSON] = field(default_factory=dict)

    def bound(self, role: str) -> bool:
        """Is there a model for this role: "judge", "lalm-judge" or "asr"?"""
        return {"judge": self.judge, "lalm-judge": self.lalm, "asr": self.asr}[role] is not None

    def recorded(self, role: JudgeRole = "judge") -> bool:
        """Are recorded replies read in this role? Where nobody is bound to it, and the predictions bring some."""
        return not self.bound(role) and bool(self.options.get("recorded"))
