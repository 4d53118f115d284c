"""Loading UTMOS22-strong: TorchScript, a state dict plus a local checkout, or both of them from torch's hub.

No package on the registry ships these weights, so there is no default (embedded-default sheet section 7), and
nothing is fetched unless the user says `hub`. The code is `tarepan/SpeechMOS` v1.2.0, which resamples with
torchaudio; audio reaches it at 16 kHz already, so a stand-in that refuses any other rate is enough.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.config import offline
from judges.torchaudio_stand_in import torchaudio_stand_in
from judges.weights import WeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scorer = Callable[[NDArray[np.float32]], float]

SAMPLE_RATE = 16_000
HUB = "hub"
"""What the user writes in place of a file to have the published model from torch's hub."""
REPO, TAG, COMMIT = "tarepan/SpeechMOS", "v1.2.0", "ed25eacbfa42b99156c36ebec67a733b5dbb9b79"
CHECKPOINT = "utmos22_strong_step7459_v1.pt"
CHECKPOINT_URL = f"https://github.com/{REPO}/releases/download/v1.0.0/{CHECKPOINT}"
HUB_NAMES = tuple(f"{REPO.replace('/', '_')}_{ref}" for ref in (TAG, COMMIT))
"""What torch calls the folder of the code, by the tag or by the commit it stands for."""


def load_utmos(path: Path, checkout: str | None = None, device: str = "cpu") -> Scorer:
    """A function from mono float32 samples at 16 kHz to a score, about 1 to 5; one clip at a time.

    Args:
        path: TorchScript module (wave [1, T] -> score [1]), or the state dict of the hub model.
        checkout: folder of the hub repository, for a state dict; None looks into torch's hub folder.
        device: "cpu" or "cuda".

    Raises:
        WeightsError: torch, the file's content, or the checkout is not what is needed.
    """
    try:
        import torch
    except ImportError as exc:
        raise WeightsError('not scored: torch is not installed (pip install "evalkit[utmos]")') from exc
    try:
        scripted = torch.jit.load(str(path), map_location="cpu").eval()
    except RuntimeError:
        return _scorer(torch, _from_state_dict(torch, path, checkout), device, SAMPLE_RATE)
    return _scorer(torch, scripted, device)


def _scorer(torch: Any, model: Any, device: str, *extra: int) -> Scorer:
    try:
        model = model.to(device)
    except (RuntimeError, AssertionError) as exc:  # no such device, or a torch without it
        raise WeightsError(f"not scored: UTMOS can't be put on {device}: {exc}"[:300]) from exc

    def score(samples: NDArray[np.float32]) -> float:
        with torch.no_grad():
            wave = torch.from_numpy(samples)[None].to(device)
            return float(model(wave, *extra).reshape(-1)[0])

    return score


def _from_state_dict(torch: Any, path: Path, checkout: str | None) -> Any:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # on a foreign file torch's reader fails in any way at all (struct.error, ...)
        raise WeightsError(f"not scored: {path} is neither TorchScript nor a state dict of tensors") from exc
    folder = Path(checkout) if checkout else hub_code(torch)
    if folder is None or not (folder / "hubconf.py").is_file():
        raise WeightsError(
            f"not scored: {path} is a state dict and needs the model's code, a checkout of tarepan/SpeechMOS "
            f"v1.2.0, which is not at {folder or torch.hub.get_dir()} (or use the TorchScript file)"
        )
    try:
        with torchaudio_stand_in():
            model = torch.hub.load(str(folder), "utmos22_strong", source="local", pretrained=False)
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError, ImportError) as exc:
        raise WeightsError(f"not scored: {path} does not fit the model in {folder}: {exc}"[:500]) from exc
    return model.eval()


def hub_code(torch: Any) -> Path | None:
    """The folder of the model's code in torch's hub folder; None when it was never fetched."""
    places = (Path(torch.hub.get_dir()) / name for name in HUB_NAMES)
    return next((p for p in places if (p / "hubconf.py").is_file()), None)


def fetch() -> Path:
    """The published checkpoint and the model's code, from torch's hub folder, or fetched into it.

    Called only when the user writes `utmos_weights=hub`, before anything is scored. The code is that of the
    pinned commit and runs here: that is what trusting the repository means.

    Returns:
        The checkpoint.

    Raises:
        WeightsError: torch is missing, the network is forbidden, or the hub can't be reached.
    """
    try:
        import torch
    except ImportError as exc:
        raise WeightsError('not scored: torch is not installed (pip install "evalkit[utmos]")') from exc
    kept = hub_checkpoint(torch)
    if offline() and not (kept.is_file() and hub_code(torch)):
        raise WeightsError(
            f"not scored: {CHECKPOINT} and its code are not both in {torch.hub.get_dir()}, and the network is "
            "forbidden (EVALKIT_OFFLINE); copy them there, or name a file: -O utmos_weights=FILE"
        )
    try:
        if hub_code(torch) is None:
            with torchaudio_stand_in():
                torch.hub.load(f"{REPO}:{COMMIT}", "utmos22_strong", trust_repo=True, pretrained=False)
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(CHECKPOINT_URL, str(kept), progress=False)
    except Exception as exc:  # urllib, zipfile and the fetched code raise a zoo of classes here
        raise WeightsError(
            f"not scored: UTMOS can't be fetched from torch's hub ({type(exc).__name__}: {str(exc)[:200]}); "
            "fetch it elsewhere and name the file: -O utmos_weights=FILE"
        ) from exc
    return kept


def hub_checkpoint(torch: Any) -> Path:
    """Where torch's hub keeps the checkpoint, whether it is there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / CHECKPOINT


def weights_path(option: str | None) -> Path:
    """The file that the option `utmos_weights` or the variable EVALKIT_UTMOS names; for `hub`, torch's own.

    Never fetches anything.

    Raises:
        WeightsError: neither is set, or there is no such file.
    """
    given = given_weights(option)
    if given == HUB:
        try:
            import torch
        except ImportError as exc:
            raise WeightsError('not scored: torch is not installed (pip install "evalkit[utmos]")') from exc
        given = str(hub_checkpoint(torch))
    if not given:
        where = "-O utmos_weights or EVALKIT_UTMOS (neither is set)"
    elif Path(given).expanduser().is_file():
        return Path(given).expanduser()
    else:
        where = given
    raise WeightsError(
        f"not scored: weights not found at {where}; write -O utmos_weights=hub to fetch them, or get "
        "utmos_scripted.pt (Blinorot/UTMOS-PyTorch) or "
        'utmos22_strong_step7459_v1.pt (tarepan/SpeechMOS) and name it there (pip install "evalkit[utmos]")'
    )


def given_weights(option: str | None) -> str:
    """What the user says of the weights: a file, "hub", or "" for nothing."""
    return option or os.environ.get("EVALKIT_UTMOS") or ""
