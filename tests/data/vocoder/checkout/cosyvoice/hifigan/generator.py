"""Mel frames to a wave, 480 samples each."""

import torch
from matcha import HOP


class CausalHiFTGenerator(torch.nn.Module):
    def __init__(self, in_channels, sampling_rate):
        super().__init__()
        self.pitch = torch.nn.Linear(in_channels, 1)
        self.sine_waves = torch.rand(1, HOP)

    @torch.inference_mode()
    def inference(self, speech_feat, finalize=True):
        assert finalize
        loudness = torch.tanh(self.pitch(speech_feat.transpose(1, 2)))
        wave = (loudness * self.sine_waves.to(loudness)).reshape(1, -1)
        wave = wave + 0.01 * torch.randn(wave.shape)
        return wave.clamp(-0.99, 0.99), loudness
