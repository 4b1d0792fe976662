"""Finds the module to export, and its weights.

A module is named as ``file.py:factory`` or ``package.module:factory``, where the factory is a
function or class that returns an ``nn.Module``, or is such a module itself.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import safetensors
import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from rnnedge_exporters.errors import SourceError


def load_module(spec: str, arguments: Mapping[str, str]) -> nn.Module:
    """Calls the factory that `spec` names and returns its module.

    Args:
        spec: ``file.py:factory`` or ``package.module:factory``.
        arguments: keyword arguments for the factory, as text; each becomes an int, a float or a
            bool where the text reads as one, unless the factory annotates the parameter as str.

    Raises:
        SourceError: the place does not exist, the factory raises, or gives no module.
    """
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise SourceError(
            f"{spec!r} names no factory",
            where="model",
            fix='write "model.py:make_model" or "package.module:make_model"',
        )
    python_module = _import(place, spec)
    factory = getattr(python_module, name, None)
    if factory is None:
        public = sorted(n for n, v in vars(python_module).items() if callable(v) and n[0] != "_")
        raise SourceError(
            f"{place} has no {name!r}", where=spec, fix=f"it has: {', '.join(public) or 'nothing'}"
        )
    module = factory if isinstance(factory, nn.Module) else _call(factory, spec, arguments)
    if not isinstance(module, nn.Module):
        raise SourceError(
            f"a torch.nn.Module was expected, got {type(module).__name__}",
            where=spec,
            fix="name a function or class that returns the module",
        )
    return module


def load_weights(module: nn.Module, path: str | Path, *, key: str | None = None) -> str:
    """Loads a checkpoint into `module` and returns the file's sha256.

    Args:
        module: takes the weights in place.
        path: a safetensors file, or a torch checkpoint that holds tensors only; no code from the
            file is ever run.
        key: where the state dict lies in the checkpoint, such as ``model`` or ``ema.state_dict``.

    Raises:
        SourceError: the file is missing, damaged, wants to run code, or does not fit.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"cannot read the weights: {error.strerror}", where=str(path), fix="check the path"
        ) from error
    tensors = _select(_read_tensors(path, data), key, path)
    _fit(module, tensors, path)
    return hashlib.sha256(data).hexdigest()


def _import(place: str, spec: str) -> ModuleType:
    try:
        if place.endswith(".py"):
            return _import_file(Path(place), spec)
        # A package in the current folder is importable, as with `python -m`.
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(place)
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(
            f"importing it raised {type(error).__name__}: {error}",
            where=spec,
            fix=f"make `import {Path(place).stem if place.endswith('.py') else place}` work first",
        ) from error


def _import_file(path: Path, spec: str) -> ModuleType:
    if not path.is_file():
        raise SourceError(f"no file {path}", where=spec, fix="check the path")
    # The file's own folder comes first, so that it can import its neighbours.
    sys.path.insert(0, str(path.parent.resolve()))
    loader = importlib.util.spec_from_file_location(path.stem, path)
    assert loader is not None  # noqa: S101 - the name ends in .py
    assert loader.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(loader)
    # Registered under its name, so that inspect finds the source lines that errors point to.
    sys.modules[path.stem] = module
    loader.loader.exec_module(module)
    return module


def _call(factory: Any, spec: str, arguments: Mapping[str, str]) -> object:
    if not callable(factory):
        raise SourceError(
            f"{type(factory).__name__} is not callable",
            where=spec,
            fix="name a function or class that returns the module",
        )
    typed = {name: _value(factory, name, text) for name, text in arguments.items()}
    try:
        return factory(**typed)
    except Exception as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in typed.items())
        raise SourceError(
            f"the factory raised {type(error).__name__}: {error}",
            where=f"{spec}({shown}){_raised_at(error)}",
            fix="call it in Python with the same arguments; give them with --arg name=value",
        ) from error


def _raised_at(error: Exception) -> str:
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    return f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if len(frames) > 1 else ""


def _value(factory: Any, name: str, text: str) -> object:
    try:
        annotation = inspect.signature(factory).parameters[name].annotation
    except (KeyError, ValueError, TypeError):
        annotation = None
    if annotation in (str, "str"):
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None if text == "None" else text


def _read_tensors(path: Path, data: bytes) -> Any:
    if path.suffix == ".safetensors":
        try:
            return load_safetensors(data)
        except safetensors.SafetensorError as error:
            raise SourceError(
                f"the safetensors file is damaged: {error}",
                where=str(path),
                fix="copy or download it again, and compare its size",
            ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SourceError(
            "the checkpoint is a pickle that holds more than tensors; loading it could run any "
            "code, so it is refused",
            where=str(path),
            fix="save the state dict alone: torch.save(model.state_dict(), ...), or better "
            "safetensors.torch.save_file(model.state_dict(), ...)",
        ) from error
    except Exception as error:
        raise SourceError(
            f"the checkpoint cannot be read ({type(error).__name__}: {error})",
            where=str(path),
            fix="give a .safetensors file or one written by torch.save; check that it is whole",
        ) from error


def _select(content: Any, key: str | None, path: Path) -> dict[str, Tensor]:
    for part in key.split(".") if key else ():
        if not isinstance(content, Mapping) or part not in content:
            raise SourceError(
                f"the checkpoint has no key {key!r}",
                where=str(path),
                fix=f"its keys are: {_keys(content)}",
            )
        content = content[part]
    is_state_dict = isinstance(content, Mapping) and all(
        isinstance(value, Tensor) for value in content.values()
    )
    if not is_state_dict:
        raise SourceError(
            "no state dict (names to tensors) there",
            where=str(path) + (f", key {key!r}" if key else ""),
            fix=f"name the key that holds it with --weights-key; there are: {_keys(content)}",
        )
    return dict(content)


def _keys(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"none (a {type(content).__name__})"
    return ", ".join(str(key) for key in list(content)[:20])


def _fit(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    own = module.state_dict()
    problems = [f"missing: {name}" for name in own if name not in tensors]
    problems += [f"unexpected: {name}" for name in tensors if name not in own]
    problems += [
        f"shape of {name}: {list(tensors[name].shape)} in the file, {list(value.shape)} expected"
        for name, value in own.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    if problems:
        raise SourceError(
            "the weights do not fit the module:\n    " + "\n    ".join(problems),
            where=str(path),
            fix="build the module with the settings it was trained with (--arg), or name the key "
            "that holds its state dict (--weights-key)",
        )
    module.load_state_dict(tensors)
