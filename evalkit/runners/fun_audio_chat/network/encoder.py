"""The two audio towers: log-mel frames to the vectors that stand at a prompt's audio placeholders.

Parameters have the checkpoint's names. Nothing but parameters is needed from it, so both towers may be built on the
meta device and filled afterwards. Source: runner specification, sections 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from evalkit.runners.fun_audio_chat.folder.config import AudioConfig
    from evalkit.runners.fun_audio_chat.requests import Clip

PIECES_PER_PASS = 128
"""Pieces (2 s each) that go through the layers together: enough to fill a GPU, under 1 GB at the released size."""
HEADROOM = 1000.0
"""How far below float16's largest number the layers' output is kept."""
TIMESCALE = 10_000.0
"""Longest wavelength of the positions over the shortest."""


class ContinuousTower(nn.Module):
    """Mel frames to 25 Hz rows: a Whisper-like encoder in windows of 2 s that know nothing of each other.

    Args:
        config: sizes; its `activation_function` is gelu, by the error function, as everywhere here.
        pieces_per_pass: most pieces in one pass; it bounds memory and changes nothing else.
    """

    def __init__(self, config: AudioConfig, pieces_per_pass: int = PIECES_PER_PASS) -> None:
        super().__init__()
        width = config.d_model
        self.bins, self.piece = config.num_mel_bins, 2 * config.n_window
        self.pieces_per_pass = pieces_per_pass
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.encoder_layers))
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Linear(width, config.output_dim)
        self.audio_bos_eos_token = nn.Embedding(
            2, config.output_dim
        )  # stored in checkpoints, used by nothing
        self._positions: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def forward(self, mels: Sequence[Tensor]) -> list[Tensor]:
        """Encode clips, packed: no clip's rows depend on the others.

        Args:
            mels: each of shape (mel bins, F), F >= 0, on any device.

        Returns:
            For each clip the rows of shape (T25, H), T25 = max(1, ceil(F / 2) // 2), in the weights' dtype and on their
            device; of shape (0, H) where F is 0.

        Raises:
            ValueError: a mel of another shape.
        """
        for mel in mels:
            if mel.ndim != 2 or mel.shape[0] != self.bins:
                raise ValueError(f"a mel has shape ({self.bins}, frames), not {tuple(mel.shape)}")
        rows: list[Tensor] = []
        for run in self.runs([mel.shape[1] for mel in mels]):
            rows.extend(self._encode(list(mels[run])))
        return rows

    def runs(self, frames: Sequence[int]) -> list[slice]:
        """Neighbouring clips that fill a pass; a clip that needs several passes is alone.

        Args:
            frames: mel frames of each clip.
        """
        found: list[slice] = []
        start = pieces = 0
        for i, count in enumerate(frames):
            own = math.ceil(count / self.piece)
            if i > start and pieces + own > self.pieces_per_pass:
                found.append(slice(start, i))
                start, pieces = i, 0
            pieces += own
        return [*found, slice(start, len(frames))] if frames else []

    def _encode(self, mels: list[Tensor]) -> list[Tensor]:
        pieces = [
            _Piece(clip, start, min(self.piece, mel.shape[1] - start))
            for clip, mel in enumerate(mels)
            for start in range(0, mel.shape[1], self.piece)
        ]
        # Whole pieces first: equal in length, they need no mask; then the shorter ones with their like.
        pieces.sort(key=lambda p: -p.frames)
        if not pieces:
            return [self.proj.weight.new_zeros(0, self.proj.out_features) for _ in mels]
        hidden = torch.cat(
            [
                self._pass(mels, pieces[i : i + self.pieces_per_pass])
                for i in range(0, len(pieces), self.pieces_per_pass)
            ]
        )
        first, second, counts = _pairs(pieces, len(mels))
        # Halves before the sum: exact, and float16 can't overflow.
        pooled = hidden[first.to(hidden.device)] * 0.5 + hidden[second.to(hidden.device)] * 0.5
        return list(self.proj(self.ln_post(pooled)).split(counts))

    def _pass(self, mels: list[Tensor], pieces: list[_Piece]) -> Tensor:
        """The last layer's output for the rows of some pieces, one after the other: shape (rows, d)."""
        weight = self.conv1.weight
        longest = pieces[0].frames
        packed = torch.zeros(len(pieces), self.bins, longest, dtype=mels[0].dtype, device=mels[0].device)
        for i, piece in enumerate(pieces):
            packed[i, :, : piece.frames] = mels[piece.clip][:, piece.start : piece.start + piece.frames]
        x = functional.gelu(self.conv1(packed.to(weight.device, weight.dtype)))
        if pieces[-1].frames < longest:
            ends = torch.tensor([p.frames for p in pieces], device=x.device)
            x = x.masked_fill(torch.arange(longest, device=x.device) >= ends[:, None, None], 0.0)
        x = functional.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self._sinusoids(x.device, x.dtype)[: x.shape[1]]
        layout = _Layout.of(pieces, x.shape[1], x.device)
        x = x.flatten(0, 1)
        if layout.rows is not None:
            x = x[layout.rows]
        for layer in self.layers:
            x = layer(x, layout)
        return x

    def _sinusoids(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Positions of a piece, shape (n_window, d): computed in float32 on the CPU, then cast; kept."""
        if (device, dtype) not in self._positions:
            half = self.conv2.out_channels // 2
            steps = torch.arange(half, dtype=torch.float32, device="cpu")
            inverse = torch.exp(-steps * (math.log(TIMESCALE) / max(half - 1, 1)))
            angles = torch.arange(self.piece // 2, dtype=torch.float32, device="cpu")[:, None] * inverse
            table = torch.cat([angles.sin(), angles.cos()], dim=1)
            self._positions[device, dtype] = table.to(device, dtype)
        return self._positions[device, dtype]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Frames `start` to `start + frames` of a clip."""

    clip: int
    start: int
    frames: int

    @property
    def rows(self) -> int:
        """Frames after the second convolution."""
        return (self.frames + 1) // 2


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the rows of a pass are: pieces of equal length first, then those of other lengths.

    Attributes:
        equal, length: number of leading pieces of equal length, and that length in rows.
        rows: indices of the valid rows among (pieces, longest) positions; None where all are.
        spread: of the other pieces, for every (piece, position) the row that stands there, shape (others, longest).
        mask: which of these positions are valid, as keys: shape (others, 1, 1, longest).
        back: of the other pieces, the position of every row in (others, longest) flattened.
    """

    equal: int
    length: int
    rows: Tensor | None = None
    spread: Tensor | None = None
    mask: Tensor | None = None
    back: Tensor | None = None

    @classmethod
    def of(cls, pieces: list[_Piece], longest: int, device: torch.device) -> _Layout:
        """Layout of pieces sorted by length, the longest of `longest` rows first."""
        counts = [p.rows for p in pieces]
        equal = counts.count(longest)
        if equal == len(counts):
            return cls(equal, longest)
        others = torch.tensor(counts[equal:], device="cpu")
        within = torch.arange(counts[equal], device="cpu")
        valid = within < others[:, None]
        starts = others.cumsum(0) - others
        spread = torch.where(valid, starts[:, None] + within, 0)
        head = torch.arange(equal * longest, device="cpu")
        piece, position = valid.nonzero(as_tuple=True)
        rows = torch.cat([head, (piece + equal) * longest + position])
        back = piece * len(within) + position
        mask = None if bool(valid.all()) else valid[:, None, None, :].to(device)
        return cls(equal, longest, rows.to(device), spread.to(device), mask, back.to(device))


class _Attention(nn.Module):
    """Attention inside every piece, both ways; no bias on the keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, layout: _Layout) -> Tensor:
        """Rows of shape (rows, d) to as many."""
        queries, keys, values = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        whole = layout.equal * layout.length
        parts = []
        if whole:
            shape = (layout.equal, layout.length, self.heads, -1)
            mixed = self._mix([t[:whole].view(shape) for t in (queries, keys, values)])
            parts.append(mixed.reshape(whole, -1))
        if layout.spread is not None and layout.back is not None:
            shape = (*layout.spread.shape, self.heads, -1)
            spread = [t[whole:][layout.spread].view(shape) for t in (queries, keys, values)]
            mixed = self._mix(spread, layout.mask)
            parts.append(mixed.reshape(layout.spread.numel(), -1)[layout.back])
        out: Tensor = self.out_proj(parts[0] if len(parts) == 1 else torch.cat(parts))
        return out

    def _mix(self, qkv: list[Tensor], mask: Tensor | None = None) -> Tensor:
        """Scaled dot products; in and out (pieces, rows, heads, head width). No mask: the flash kernel may take it."""
        q, k, v = (t.transpose(1, 2) for t in qkv)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)


class _Layer(nn.Module):
    """One encoder layer, norms first."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        width = config.d_model
        self.self_attn = _Attention(width, config.encoder_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, layout: _Layout) -> Tensor:
        """Rows of shape (rows, d) to as many."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), layout)
        x = x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))
        if x.dtype == torch.float16:
            limit = torch.finfo(torch.float16).max - HEADROOM
            x = x.clamp(-limit, limit)
        return x


def _pairs(pieces: list[_Piece], clips: int) -> tuple[Tensor, Tensor, list[int]]:
    """Which two rows of all pieces' are averaged, along whole clips, and how many pairs each clip has.

    A clip's odd last row is dropped; its only row is averaged with itself.
    """
    own: list[dict[int, Tensor]] = [{0: torch.arange(0, device="cpu")} for _ in range(clips)]
    at = 0
    for piece in pieces:
        own[piece.clip][piece.start] = torch.arange(at, at + piece.rows, device="cpu")
        at += piece.rows
    pairs, counts = [], []
    for parts in own:
        rows = torch.cat([parts[start] for start in sorted(parts)])
        rows = rows.repeat(2) if len(rows) == 1 else rows[: len(rows) // 2 * 2]
        pairs.append(rows.view(-1, 2))
        counts.append(len(rows) // 2)
    both = torch.cat(pairs)
    return both[:, 0], both[:, 1], counts


class DiscreteTower(nn.Module):
    """Speech embeddings, and the two matrices that bring groups of five to the text model."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        if config.continuous_features_mode not in ("replace", "add"):
            raise ValueError(
                f"continuous_features_mode is replace or add, not {config.continuous_features_mode}"
            )
        self.group, self.pad = config.group_size, config.pad_token_id
        self.add = config.continuous_features_mode == "add"
        self.embed_tokens = nn.Embedding(config.codebook_size, config.output_dim)
        self.output_matching = nn.Linear(config.output_dim, config.output_dim, bias=False)
        self.continual_output_matching = nn.Linear(config.output_dim, config.output_dim, bias=False)

    def fit(self, rows25: Sequence[Tensor], clips: Sequence[Clip]) -> Tensor:
        """One vector to each placeholder. Source: runner specification, section 4.7.

        Rows beyond a clip's placeholders are dropped, missing ones are zeros, which count in the mean of five.

        Args:
            rows25: the continuous tower's rows, each of shape (T25, H), in the weights' dtype and on their device.
            clips: the same clips.

        Returns:
            Shape (all clips' groups together, H), clip after clip. In "replace" mode groups beyond the tower's rows are
            exactly zero; in "add" mode every group has the pad embedding's vector added.

        Raises:
            ValueError: not as many rows as clips.
        """
        if len(rows25) != len(clips):
            raise ValueError(f"{len(rows25)} clips' rows for {len(clips)} clips")
        weight = self.continual_output_matching.weight
        slots = weight.new_zeros(sum(c.groups for c in clips) * self.group, weight.shape[1])
        at = 0
        for rows, clip in zip(rows25, clips, strict=True):
            held = min(len(rows), clip.groups * self.group)
            slots[at : at + held] = rows[:held]
            at += clip.groups * self.group
        fitted: Tensor = self.continual_output_matching(slots.view(-1, self.group, weight.shape[1]).mean(1))
        if self.add and len(fitted):
            pads = torch.full((1, self.group), self.pad, device=weight.device)
            fitted = fitted + self.speech_average(pads)
        return fitted

    def speech_average(self, ids: Tensor) -> Tensor:
        """A(group): the mean of a group's embeddings, brought to the text model. Source: section 8.

        Args:
            ids: speech ids, integers of shape (B, group size).

        Returns:
            Shape (B, H).
        """
        average: Tensor = self.output_matching(self.embed_tokens(ids).mean(-2))
        return average


@torch.no_grad()
def embed_clips(continuous: ContinuousTower, discrete: DiscreteTower, clips: Sequence[Clip]) -> Tensor:
    """Clips to the vectors of their placeholders, a pass at a time: 25 Hz rows of many long clips never pile up.

    Args:
        continuous, discrete: the towers, on one device and of one dtype.
        clips: in the order of their placeholders.

    Returns:
        Shape (all groups, H), clip after clip, in the weights' dtype and on their device.
    """
    heard = [c for c in clips if c.groups]  # nothing of the others reaches the prompt
    fitted = [continuous.proj.weight.new_zeros(0, continuous.proj.out_features)]
    for run in continuous.runs([c.mel.shape[1] for c in heard]):
        rows = continuous([torch.from_numpy(c.mel) for c in heard[run]])
        fitted.append(discrete.fit(rows, heard[run]))
    return torch.cat(fitted)
