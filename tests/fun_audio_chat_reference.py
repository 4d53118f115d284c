"""Fun-Audio-Chat once more, for tests: one prompt, no cache, all of it from the start for every single token.

It follows the runner specification (sections 3 and 7 to 9) sentence by sentence and shares no code with the runner:
weights by their names on disk, and the Qwen3 layers in transformers' own forward.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import Qwen3Config, Qwen3Model, Qwen3MoeConfig, Qwen3MoeModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from evalkit.runners.fun_audio_chat.requests import Decoding

Pick = tuple[int, float]
"""An id, and how close it was: by how much a logit, or the number that was drawn, would have to change."""


@dataclass
class Told:
    """What came of a prompt: ids, how it ended, what the head picked at each step, how close the picks were."""

    text: list[int] = field(default_factory=list)
    speech: list[int] = field(default_factory=list)
    finish: str = "length"
    groups: list[list[int]] = field(default_factory=list)
    margin: float = float("inf")
    nearest_draw: float = float("inf")


class Reference:
    """A checkpoint in float32. `E_t`, `E_s`, `T`, `S` and the like are named as in the specification."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        audio, text = config["audio_config"], config["text_config"]
        self.w = {name: tensor.float() for name, tensor in weights.items()}
        self.k: int = audio["group_size"]
        self.bos, self.eos, self.pad = (audio[f"{n}_token_id"] for n in ("bos", "eos", "pad"))
        self.adds: bool = audio["continuous_features_mode"] == "add"
        self.audio_bos, self.audio_eos = text["audio_bos_index"], text["audio_eos_index"]
        self.placeholder = config["audio_token_index"]
        self.llm = self._qwen3(text, "language_model.model.")
        self.crq = self._qwen3(audio["crq_transformer_config"], "audio_invert_tower.crq_transformer.")
        self.E_t = self.w["language_model.model.embed_tokens.weight"]
        self.E_s = self.w["audio_tower.embed_tokens.weight"]
        self.to_text = self.w.get("language_model.lm_head.weight", self.E_t)

    @classmethod
    def read(cls, folder: Path, audio_eos: int | None = None) -> Reference:
        """Of a checkpoint folder; `audio_eos` takes the place of the config's end of speech."""
        config = json.loads((folder / "config.json").read_text())
        if audio_eos is not None:
            config["audio_config"]["eos_token_id"] = audio_eos
        return cls(config, load_file(folder / "model.safetensors"))

    def vectors(self, rows: Tensor, groups: int) -> Tensor:
        """25 Hz rows of a clip -> what its placeholders get, shape (groups, H). Section 4.7."""
        slots = torch.zeros(groups * self.k, self.E_t.shape[1])
        held = min(len(rows), len(slots))
        slots[:held] = rows[:held]
        means = slots.view(groups, self.k, -1).mean(1)
        out = means @ self.w["audio_tower.continual_output_matching.weight"].T
        return out + self.average([self.pad] * self.k) if self.adds else out

    def average(self, group: Sequence[int]) -> Tensor:
        """A(group)."""
        return self.w["audio_tower.output_matching.weight"] @ self.E_s[list(group)].mean(0)

    @torch.no_grad()
    def generate(self, prompt: Sequence[int], audio: Tensor, decoding: Decoding, seed: int = 0) -> Told:
        """Section 8, or section 7 when `decoding.speech` is off.

        Args:
            audio: what the prompt's placeholders get, shape (placeholders, H).
        """
        told, pick = Told(), _Picks(decoding, self.k, seed)
        T, S, on = list(prompt), told.speech, False  # noqa: N806
        inputs = self.E_t[T]
        inputs[[i for i, t in enumerate(T) if t == self.placeholder]] = audio
        # The speech id that each row of the head gets to hear of: bos, then whatever was picked right before.
        heard = [self.bos] * (self.k * len(T) - self.k + 1)
        for s in range(decoding.max_new_tokens):
            if s:  # 1
                t, on_before = T[-1], on
                on = on or t == self.audio_bos
                averaged = decoding.speech and on_before
                new = (self.E_t[t] + self.average(S[-self.k :])) / 2 if averaged else self.E_t[t]
                inputs = torch.cat([inputs, new[None]])
            h = _run(self.llm, inputs)  # 2
            group: list[int] = []
            if decoding.speech:
                u = self._linear(h + self.E_t[T], "pre_matching").view(self.k * len(T), -1)  # 3
                for i in range(self.k):  # 4
                    x = self._linear(u[: len(heard)] + self.E_s[heard], "input_matching")
                    y = self._linear(_run(self.crq, x)[-1], "output_matching")
                    group.append(pick.speech(self.E_s @ y, S + group, s, i))
                    heard.append(group[-1])
                told.groups.append(list(group))
            token = pick.text(self.to_text @ h[-1], T, s)  # 5
            if decoding.speech and decoding.force_text_abos and s == 0:
                token = self.audio_bos
            T.append(token)  # 6
            stopped = token in decoding.text_eos
            if decoding.speech and on:  # 7
                if self.eos in group:
                    group, T[-1], on = [self.eos] * self.k, self.audio_eos, False
                S += group  # noqa: N806
            if stopped:
                told.finish = "stop"
                break
        told.text = T[len(prompt) :]
        told.margin, told.nearest_draw = pick.margin, pick.nearest_draw
        return told

    def _linear(self, x: Tensor, name: str) -> Tensor:
        bias = self.w.get(f"audio_invert_tower.{name}.bias", torch.zeros(1))
        return x @ self.w[f"audio_invert_tower.{name}.weight"].T + bias

    def _qwen3(self, own: Mapping[str, Any], prefix: str) -> torch.nn.Module:
        given = {name: value for name, value in own.items() if name != "model_type"}
        given["attn_implementation"] = "eager"
        mixture = own["model_type"] == "qwen3_moe"
        model: Any = Qwen3MoeModel(Qwen3MoeConfig(**given)) if mixture else Qwen3Model(Qwen3Config(**given))
        state = {n.removeprefix(prefix): t for n, t in self.w.items() if n.startswith(prefix)}
        for stem in {n.split("experts.")[0] + "experts." for n in state if "experts." in n}:
            each = [
                [state.pop(f"{stem}{e}.{name}_proj.weight") for name in ("gate", "up", "down")]
                for e in range(given["num_experts"])
            ]
            state[f"{stem}gate_up_proj"] = torch.stack([torch.cat([gate, up]) for gate, up, _ in each])
            state[f"{stem}down_proj"] = torch.stack([down for _, _, down in each])
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert not unexpected and set(missing) <= {"embed_tokens.weight"}
        return model.eval()


def _run(model: Callable[..., Any], inputs: Tensor) -> Tensor:
    """Hidden states after the final norm, shape (n, width)."""
    out: Tensor = model(inputs_embeds=inputs[None], use_cache=False).last_hidden_state[0]
    return out


class _Picks:
    """Section 9: penalty, bad words, temperature, top-k, top-p; then the likeliest id, or a draw."""

    def __init__(self, decoding: Decoding, k: int, seed: int) -> None:
        self.decoding, self.k = decoding, k
        self.generator = torch.Generator().manual_seed(seed)
        self.numbers = None
        if decoding.draws == "uniform":
            shape = (decoding.max_new_tokens, k + 1)
            self.numbers = torch.rand(shape, dtype=torch.float64, generator=self.generator)
        self.margin = self.nearest_draw = float("inf")

    def speech(self, logits: Tensor, history: Sequence[int], step: int, i: int) -> int:
        return self._pick(self._penalised(logits, history), step, i)

    def text(self, logits: Tensor, history: Sequence[int], step: int) -> int:
        if self.decoding.text_greedy:
            return self._likeliest(logits)
        scores = self._penalised(logits, history)
        for *before, banned in self.decoding.bad_words:
            if not before or list(history[-len(before) :]) == before:
                scores[banned] = -torch.inf
        return self._pick(scores, step, self.k)

    def _penalised(self, logits: Tensor, history: Sequence[int]) -> Tensor:
        scores, p = logits.clone(), self.decoding.repetition_penalty
        for i in set(history):
            scores[i] = scores[i] * p if scores[i] < 0 else scores[i] / p
        return scores

    def _likeliest(self, scores: Tensor) -> int:
        first, second = scores.topk(2).values.tolist()
        self.margin = min(self.margin, first - second)
        return int(scores.argmax())

    def _pick(self, scores: Tensor, step: int, which: int) -> int:
        d = self.decoding
        if not d.do_sample:
            return self._likeliest(scores)
        scores = scores / d.temperature
        if 0 < d.top_k < len(scores):
            ranked = scores.sort(descending=True).values
            self.margin = min(self.margin, float(ranked[d.top_k - 1] - ranked[d.top_k]))
            scores[scores < ranked[d.top_k - 1]] = -torch.inf
        if d.top_p < 1:
            ascending, order = scores.sort()
            reached = ascending.softmax(0).cumsum(0)
            self.nearest_draw = min(self.nearest_draw, float((reached[:-1] - (1 - d.top_p)).abs().min()))
            scores[order[:-1][reached[:-1] <= 1 - d.top_p]] = -torch.inf
        chances = scores.softmax(0)
        if self.numbers is None:
            return int(torch.multinomial(chances[None], 1, generator=self.generator))
        edges = (chances.double() / chances.double().sum()).cumsum(0)
        number = self.numbers[step, which]
        self.nearest_draw = min(self.nearest_draw, float((edges[:-1] - number).abs().min()))
        return next(i for i, edge in enumerate(edges.tolist()) if edge > number)
