"""Tokens to mel frames, two per token."""

import os
import sys
from pathlib import Path

import torch


class CausalMaskedDiffWithDiT(torch.nn.Module):
    def __init__(
        self, input_size, output_size, spk_embed_dim, vocab_size, token_mel_ratio, decoder, decoder_conf=None
    ):
        super().__init__()
        print("constructing flow")
        self.token_mel_ratio = token_mel_ratio
        self.input_embedding = torch.nn.Embedding(vocab_size, input_size)
        self.spk_embed_affine_layer = torch.nn.Linear(spk_embed_dim, output_size)
        self.decoder = decoder

    @torch.inference_mode()
    def inference(
        self,
        token,
        token_len,
        prompt_token,
        prompt_token_len,
        prompt_feat,
        prompt_feat_len,
        embedding,
        streaming,
        finalize,
    ):
        assert (
            token.shape[0] == 1
            and token.dtype == torch.int32
            and int(token_len[0]) == token.shape[1] <= 750 + 1
        )
        assert (
            prompt_token.shape == (1, 0) and prompt_feat.shape == (1, 0, 80) and int(prompt_feat_len[0]) == 0
        )
        assert embedding.shape == (1, 192) and streaming is False and finalize is True
        print("flow speaks", token.shape[1])
        os.write(1, b"\x00\x00\x00\x05bytes past sys.stdout\n")
        sys.stdout.flush()
        misbehave(token[0].tolist())
        speaker = self.spk_embed_affine_layer(torch.nn.functional.normalize(embedding, dim=1))
        mel = self.decoder.estimator(self.input_embedding(token.clamp(min=0)))
        mel = (mel + speaker[:, None]).repeat_interleave(self.token_mel_ratio, dim=1).transpose(1, 2)
        mel = mel + 0.1 * self.decoder.rand_noise[:, :, : mel.shape[2]].to(mel)
        return mel + 0.1 * torch.randn(mel.shape), None


def misbehave(ids):
    if 6002 in ids:
        raise ValueError("a token it does not like")
    once = Path(os.environ.get("STANDIN_CRASH_ONCE") or "nowhere")
    if 6003 in ids and once.exists():
        once.unlink()
        print("about to end", file=sys.stderr, flush=True)
        os._exit(4)
    if len(ids) < 3:
        raise RuntimeError("Kernel size can't be greater than actual input size")
