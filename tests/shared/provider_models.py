"""Models on the providers that this machine has; a test of another is skipped, with the reason."""

from __future__ import annotations

import re
from os import PathLike

import pytest

from rnnedge_runtime import Model, ProviderError, load
from rnnedge_runtime.providers import KNOWN, about, available, full_name, register_installed

PROVIDERS = [known.short for known in KNOWN]


def opened(source: bytes | str | PathLike[str], provider: str, needs: str | None = None) -> Model:
    """The model on this provider, in full precision; skips the test where there is none.

    With `needs`, an operator, it is skipped on providers that have no kernel of it, too.
    """
    known = about(full_name(provider))
    if needs is not None and needs not in known.recurrent:
        pytest.skip(f"{provider} runs no {needs}")
    idle = register_installed()
    if known.name not in available():
        package = known.plugin.replace("_", "-")
        pytest.skip(f"{provider} is not here: {idle.get(package) or known.get}")
    try:
        return load(source, provider=provider, provider_options=known.full_precision)
    except ProviderError as error:
        if not re.search("failed while it was set up|opened the model without", error.what):
            raise
        pytest.skip(f"{provider} is installed and of no use here: {error.what}")
