"""Fun-Audio-Chat on a GPU of your own: the published checkpoint folder, batched, without the upstream checkout."""

from evalkit.runners.fun_audio_chat.runner import FunAudioChatRunner

__all__ = ["FunAudioChatRunner"]
