"""Answers shared between runs: kept under what decides them, speech checked before it is believed."""

from __future__ import annotations

from dataclasses import replace

from evalkit.cache import Cache
from evalkit.engine.loading import Item
from evalkit.linefiles import StoreError, write_bytes
from evalkit.records import Audio, Response
from evalkit.store import RunWriter


class Answers:
    """The shared cache as a store of responses.

    Args:
        fingerprint: digest of the runner's identity.
    """

    def __init__(self, cache: Cache, run: RunWriter, fingerprint: str) -> None:
        self.cache, self.run, self.fingerprint = cache, run, fingerprint

    def _key(self, item: Item) -> str:
        setting = [item.sample.setting] if item.sample.setting else []
        return Cache.key(
            "response", self.fingerprint, item.input, str(item.state.plan.task.modality), *setting
        )

    def get(self, item: Item) -> Response | None:
        """The answer given earlier, its speech put into this run; None when there is none, or it is damaged."""
        held = self.cache.get(self._key(item))
        if held is None:
            return None
        response = replace(Response.from_json(held), sample_id=item.sample.id)
        response = replace(response, meta={**response.meta, "cached": True})
        if response.audio is not None:
            try:
                data = self.cache.audio_path(response.audio.digest()).read_bytes()
            except OSError:
                return None
            if Audio(data=data).digest() != response.audio.digest():
                return None
            self.run.keep_flac(data)
        return response

    def put(self, item: Item, response: Response) -> None:
        """Keep an answer as it is on record; a cache that can't take it is no failure."""
        if response.audio is not None and response.audio.path:
            kept = self.cache.audio_path(response.audio.digest())
            data = (self.run.root / response.audio.path).read_bytes()
            try:
                if not kept.exists() or kept.stat().st_size != len(data):
                    write_bytes(kept, data)
            except (OSError, StoreError):
                return
        self.cache.put(self._key(item), response.to_json())
