"""The replay runner: answers from a predictions file instead of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Runner
from evalkit.predictions import Prediction, PredictionFile
from evalkit.records import JSON, Modality, Response, Sample


class ReplayRunner(Runner):
    """Answers made elsewhere (`replay/PREDICTIONS.jsonl`): looks each sample's answer up by its id.

    Options: `label` (the name tables show), `audio_dir` (folder of the spoken answers).
    A sample without a prediction is an error of kind "no-prediction", counted like any other.
    `score` gives it a file for each task (`files`) and the digest of what they were read from (`sha256`).
    """

    name = "replay"
    modalities = frozenset(Modality)
    concurrency = 8

    def __init__(self, model: str, **options: str) -> None:
        if unknown := set(options) - {"label", "audio_dir"}:
            raise UsageError(
                f"the replay runner has no option {sorted(unknown)[0]!r}; it has: label, audio_dir."
            )
        if not model:
            raise UsageError("write --model replay/FILE.jsonl")
        audio_dir = options.get("audio_dir")
        self.predictions = PredictionFile(Path(model), Path(audio_dir) if audio_dir else None)
        self.label = options.get("label") or self.predictions.path.stem
        self.files: Mapping[str, PredictionFile] = {}
        self.sha256 = ""

    def identity(self) -> Mapping[str, JSON]:
        digest = self.sha256 or self.predictions.sha256
        return {"runner": "replay", "model": self.label, "predictions_sha256": digest}

    def lookup(self, sample: Sample) -> tuple[PredictionFile, Prediction | None]:
        """The file that answers a sample's task, and its prediction. Raises UsageError for a malformed line."""
        file = self.files.get(sample.task, self.predictions)
        return file, file.get(sample.id)

    async def generate(self, sample: Sample, modality: Modality) -> Response:
        file, prediction = self.lookup(sample)
        response = file.answer(sample.id, prediction)
        if response.error is not None:
            raise RunnerError(response.error.kind, response.error.message)
        return response
