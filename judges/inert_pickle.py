"""Read a scikit-learn model file without scikit-learn and without running any code from it.

joblib writes a pickle with the bytes of each array right behind the object that describes it. Here every
class of scikit-learn and scipy becomes an inert holder of attributes, arrays become numpy arrays, and
any name outside a short list is refused. Check the file's sha256 before you come here all the same.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MODULES = ("sklearn.", "scipy.sparse")
_ARRAY_WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_ALIASES = {
    "numpy._core.multiarray": "numpy.core.multiarray",  # since numpy 2
    "__builtin__": "builtins",  # up to protocol 2
    "copy_reg": "copyreg",
}
_SCALARS = ("float64", "float32", "int64", "int32", "bool_", "str_")


class Holder:
    """Stands in for an object of a foreign class: its pickled attributes, no behaviour."""

    def __new__(cls, *args: object, **kwargs: object) -> Holder:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.arguments = args

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)
        else:
            self.__dict__["state"] = state

    def get(self, name: str, default: Any = None) -> Any:
        """The pickled attribute `name`, arrays already unwrapped."""
        value = self.__dict__.get(name, default)
        return value.array if isinstance(value, _ArrayHolder) else value


class _ArrayHolder(Holder):
    """Where joblib put an array; subclasses know the stream its bytes follow in."""

    array: NDArray[Any]


class _Stream:
    """A byte stream without `peek`, so that the unpickler never reads past what it needs."""

    def __init__(self, data: bytes) -> None:
        self._buffer = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        return self._buffer.read(size)

    def readline(self) -> bytes:
        return self._buffer.readline()

    def exactly(self, size: int) -> bytes:
        """`size` bytes; raises UnpicklingError when there are fewer."""
        data = self._buffer.read(size)
        if len(data) != size:
            raise pickle.UnpicklingError("the file ends inside an array")
        return data


class _Reader(pickle.Unpickler):
    """An unpickler that knows numpy arrays, plain containers and holders, and nothing else."""

    def __init__(self, stream: _Stream) -> None:
        super().__init__(stream)
        self._stream = stream

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == _ARRAY_WRAPPER:
            return _array_holder(self._stream)
        if found := _KNOWN.get((_ALIASES.get(module, module), name)):
            return found
        if module.startswith(_MODULES):
            return type(name.rpartition(".")[2], (Holder,), {})
        raise pickle.UnpicklingError(f"{module}.{name} has no place in this file")


def _array_holder(stream: _Stream) -> type[_ArrayHolder]:
    """A holder class that reads its array from `stream` as soon as it knows dtype and shape."""

    class ArrayHolder(_ArrayHolder):
        def __setstate__(self, state: object) -> None:
            super().__setstate__(state)
            self.array = _read_array(stream, self)

    return ArrayHolder


def _read_array(stream: _Stream, wrapper: Holder) -> NDArray[Any]:
    dtype, shape = wrapper.get("dtype"), wrapper.get("shape")
    if dtype.hasobject:
        nested = _Reader(stream).load()
        if not isinstance(nested, np.ndarray):
            raise pickle.UnpicklingError("an array of objects was expected")
        return nested
    if wrapper.get("numpy_array_alignment_bytes") is not None:
        stream.exactly(stream.exactly(1)[0])
    count = int(np.prod(shape, dtype=np.int64))
    flat = np.frombuffer(stream.exactly(count * dtype.itemsize), dtype=dtype)
    return flat.reshape(shape, order="F" if wrapper.get("order") == "F" else "C")


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 spells bytes: a call of `_codecs.encode`."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} has no place in this file")
    return text.encode("latin1")


def _blank(cls: type, base: type, state: object) -> Any:
    """How protocols 0 and 1 make an empty object; for holders only."""
    if not issubclass(cls, Holder):
        raise pickle.UnpicklingError(f"{cls.__name__} has no place in this file")
    return cls()


def _array_maker(name: str) -> Callable[..., Any]:
    """numpy's own maker of an empty array or of a scalar, wherever this numpy keeps it."""
    sample: Any = np.zeros(1) if name == "_reconstruct" else np.float64(0)
    maker: Callable[..., Any] = sample.__reduce__()[0]
    return maker


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _array_maker("_reconstruct"),
    ("numpy.core.multiarray", "scalar"): _array_maker("scalar"),
    ("_codecs", "encode"): _latin1,
    ("copyreg", "_reconstructor"): _blank,
    ("builtins", "object"): object,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    **{("numpy", name): getattr(np, name) for name in _SCALARS},
}


def load(data: bytes) -> Any:
    """The object in a joblib (uncompressed, its default) or plain pickle file, foreign classes as `Holder`.

    Raises `pickle.UnpicklingError` when the file is damaged or holds anything it should not.
    """
    try:
        return _Reader(_Stream(data)).load()
    except pickle.UnpicklingError:
        raise
    except Exception as exc:  # a damaged pickle can raise nearly anything
        raise pickle.UnpicklingError(f"unreadable: {type(exc).__name__}: {exc}") from exc
