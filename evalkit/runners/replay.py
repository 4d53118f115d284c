"""The replay runner: answers from a predictions file instead of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evalkit.audio import AudioError
from evalkit.interfaces import Runner, RunnerError, UsageError
from evalkit.predictions import PredictionFile
from evalkit.records import JSON, Modality, Response, Sample


class ReplayRunner(Runner):
    """Answers made elsewhere (`replay/PREDICTIONS.jsonl`): looks each sample's answer up by its id.

    Options: `label` (the name tables show), `audio_dir` (folder of the spoken answers).
    A sample without a prediction is an error of kind "no-prediction", counted like any other.
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

    def identity(self) -> Mapping[str, JSON]:
        return {"runner": "replay", "model": self.label, "predictions_sha256": self.predictions.sha256}

    async def generate(self, sample: Sample, modality: Modality) -> Response:
        found = self.predictions.get(sample.id)
        if found is None:
            raise RunnerError(
                "no-prediction", f"{self.predictions.path.name} has no prediction for {sample.id}"
            )
        if found.text is None and found.audio is None:
            raise RunnerError("no-prediction", f"the prediction for {sample.id} has neither text nor audio")
        try:
            response = found.response(self.predictions.folder)
        except AudioError as exc:
            raise RunnerError("bad-audio", f"{sample.id}: {exc}") from exc
        if response.audio is not None and not Path(response.audio.path or "").is_file():
            raise RunnerError("bad-audio", f"{sample.id}: there is no file {response.audio.path}")
        return response
