"""The task's own measure: a function of the user's.

``metric(reference, candidate, data)`` is given what both files put out, ``{output: array}``, and
the user's arrays, inputs among them. It returns the drop: what was lost, 0 for nothing, in the
measure's own unit. Or it returns a dict of numbers with ``"drop"`` among them; the others
are reported.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from rnnedge_runtime.errors import RnnEdgeError

Arrays: TypeAlias = Mapping[str, np.ndarray]
MetricFunction: TypeAlias = Callable[[Arrays, Arrays, Arrays], Any]


class MetricError(RnnEdgeError):
    """The metric could not be had, failed, or gave no number."""


@dataclass(frozen=True)
class Metric:
    """A function and the name that reports give it."""

    name: str
    function: MetricFunction

    def __call__(
        self, reference: Arrays, candidate: Arrays, data: Arrays
    ) -> tuple[float, dict[str, float]]:
        """The drop, and the other numbers.

        Raises:
            MetricError: it fails, or what it gives is not a finite number or a dict of such.
        """
        try:
            given = self.function(reference, candidate, data)
        except Exception as error:  # the user's code may raise anything
            raise MetricError(
                f"the metric failed: {type(error).__name__}: {error}",
                where=self.name,
                fix="it is called with two dicts of outputs and one of the data, arrays by name: "
                f"outputs {', '.join(reference)}; data {', '.join(data)}",
            ) from error
        numbers = given if isinstance(given, Mapping) else {"drop": given}
        try:
            found = {str(name): float(value) for name, value in numbers.items()}
            drop = found.pop("drop")
        except (KeyError, TypeError, ValueError) as error:
            raise _no_number(self.name, f"it gave {given!r}") from error
        if not all(math.isfinite(value) for value in (drop, *found.values())):
            raise _no_number(self.name, f"it gave {given!r}")
        return drop, found


def as_metric(given: Metric | MetricFunction | str | None) -> Metric | None:
    """A metric from a function, or from its name as `load_metric` takes it.

    Raises:
        MetricError: there is none of that name.
    """
    if given is None or isinstance(given, Metric):
        return given
    if isinstance(given, str):
        return load_metric(given)
    return Metric(getattr(given, "__name__", "a function"), given)


def load_metric(spec: str) -> Metric:
    """The function that is named as ``file.py:function`` or ``package.module:function``.

    Raises:
        MetricError: there is no such file, module or function, or importing it fails.
    """
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise MetricError(
            f"{spec!r} names no function",
            where="--metric",
            fix='write "metric.py:function" or "package.module:function"',
        )
    try:
        module = (
            _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        )
    except Exception as error:  # importing runs the user's code
        raise MetricError(
            f"{place} cannot be imported: {type(error).__name__}: {error}",
            where=f"--metric {spec}",
            fix="check the path; the file is run as a module of its own",
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        found = sorted(n for n, v in vars(module).items() if callable(v) and n[0] != "_")
        raise MetricError(
            f"{place} has no function {name!r}",
            where=f"--metric {spec}",
            fix=f"it has: {', '.join(found) or 'none'}",
        )
    return Metric(spec, function)


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"rnnedge_metric_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError("there is no such file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _no_number(name: str, what: str) -> MetricError:
    return MetricError(
        f"the metric gave no finite number: {what}",
        where=name,
        fix='return what was lost as a float, or a dict of numbers with "drop" among them',
    )
