"""Silence while other runtimes convert: some print progress to stdout, which is for results."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Sends what this process writes to stdout and stderr nowhere, native libraries included."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        with (
            open(os.devnull, "w", encoding="utf-8") as drop,  # noqa: PTH123 - no path
            contextlib.redirect_stdout(drop),
            contextlib.redirect_stderr(drop),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for descriptor, saved in zip((1, 2), kept, strict=True):
            os.dup2(saved, descriptor)
            os.close(saved)
        os.close(nowhere)
