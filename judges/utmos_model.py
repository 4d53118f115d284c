"""Loading UTMOS22-strong from a file of the user's: TorchScript, or a state dict plus a local checkout.

No package on the registry ships these weights, so there is no default (embedded-default sheet section 7).
The checkout is `tarepan/SpeechMOS` v1.2.0, which resamples with torchaudio; audio reaches it at 16 kHz
already, so a stand-in for torchaudio that refuses any other rate is enough.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from judges.weights import WeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scorer = Callable[[NDArray[np.float32]], float]

SAMPLE_RATE = 16_000
HUB_NAME = "tarepan_SpeechMOS_v1.2.0"


def load_utmos(path: Path, checkout: str | None = None) -> Scorer:
    """A function from mono float32 samples at 16 kHz to a score, about 1 to 5. CPU, one clip at a time.

    Args:
        path: TorchScript module (wave [1, T] -> score [1]), or the state dict of the hub model.
        checkout: folder of the hub repository, for a state dict; None looks into torch's hub folder.

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
        return _scorer(torch, _from_state_dict(torch, path, checkout), SAMPLE_RATE)
    return _scorer(torch, scripted)


def _scorer(torch: Any, model: Any, *extra: int) -> Scorer:
    def score(samples: NDArray[np.float32]) -> float:
        with torch.no_grad():
            return float(model(torch.from_numpy(samples)[None], *extra).reshape(-1)[0])

    return score


def _from_state_dict(torch: Any, path: Path, checkout: str | None) -> Any:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # on a foreign file torch's reader fails in any way at all (struct.error, ...)
        raise WeightsError(f"not scored: {path} is neither TorchScript nor a state dict of tensors") from exc
    folder = Path(checkout) if checkout else Path(torch.hub.get_dir()) / HUB_NAME
    if not (folder / "hubconf.py").is_file():
        raise WeightsError(
            f"not scored: {path} is a state dict and needs the model's code, a checkout of tarepan/SpeechMOS "
            f"v1.2.0, which is not at {folder} (or use the TorchScript file)"
        )
    try:
        with torchaudio_stand_in():
            model = torch.hub.load(str(folder), "utmos22_strong", source="local", pretrained=False)
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError, ImportError) as exc:
        raise WeightsError(f"not scored: {path} does not fit the model in {folder}: {exc}"[:500]) from exc
    return model.eval()


@contextmanager
def torchaudio_stand_in() -> Iterator[None]:
    """While open, `import torchaudio` gives a module whose `functional.resample` takes equal rates only."""
    names = ("torchaudio", "torchaudio.functional")
    before = {name: sys.modules.get(name) for name in names}
    package, functional = (_module(name) for name in names)
    functional.resample = _no_resample  # type: ignore[attr-defined]
    package.functional = functional  # type: ignore[attr-defined]
    sys.modules.update(dict(zip(names, (package, functional), strict=True)))
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _module(name: str) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader=None)  # torch.hub asks for it to see that the package is there
    return module


def _no_resample(wave: Any, orig_freq: int, new_freq: int, **_: Any) -> Any:
    if orig_freq != new_freq:
        raise ValueError(f"resample before the model: {orig_freq} Hz is not {new_freq} Hz")
    return wave


def weights_path(option: str | None) -> Path:
    """The file that the option `utmos_weights` or the variable EVALKIT_UTMOS names.

    Raises:
        WeightsError: neither is set, or there is no such file.
    """
    given = option or os.environ.get("EVALKIT_UTMOS")
    if not given:
        where = "utmos_weights or EVALKIT_UTMOS (neither is set)"
    elif Path(given).expanduser().is_file():
        return Path(given).expanduser()
    else:
        where = given
    raise WeightsError(
        f"not scored: weights not found at {where}; get utmos_scripted.pt (Blinorot/UTMOS-PyTorch) or "
        'utmos22_strong_step7459_v1.pt (tarepan/SpeechMOS) and name it there (pip install "evalkit[utmos]")'
    )
