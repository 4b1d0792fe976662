"""`rnnedge generate`: text from a character language model, as it comes."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import (
    JsonFlag,
    ModelArgument,
    ProviderLibraryOption,
    ProviderOption,
    ProviderSettingsOption,
    SeedOption,
    ThreadsOption,
    provider_settings,
)


def generate(
    file: ModelArgument,
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What to go on from (default: a new line).")
    ] = "\n",
    length: Annotated[int, typer.Option(metavar="N", min=1, help="Characters to write.")] = 500,
    temperature: Annotated[
        float,
        typer.Option(
            metavar="T", min=0, help="Below 1 safer, above 1 wilder; 0 takes the likeliest."
        ),
    ] = 0.8,
    top_k: Annotated[
        int | None,
        typer.Option(metavar="K", min=1, help="Draw from the K likeliest (default: from all)."),
    ] = None,
    seed: SeedOption = 0,
    provider: ProviderOption = "cpu",
    provider_option: ProviderSettingsOption = None,
    provider_library: ProviderLibraryOption = None,
    threads: ThreadsOption = 1,
    json: JsonFlag = False,
) -> None:
    """Write text with a character language model.

    Needs nothing but the exported file. The same seed gives the same text.
    """
    if not prompt:
        raise typer.BadParameter("at least one character is needed", param_hint="--prompt")
    from rnnedge.zoo.char_lm.generation import Generator
    from rnnedge.zoo.char_lm.sampling import Sampler
    from rnnedge.zoo.char_lm.summary import GenerationSummary
    from rnnedge.zoo.char_lm.vocabulary import UNKNOWN
    from rnnedge_runtime import load

    sampler = Sampler(temperature=temperature, top_k=top_k, seed=seed, never=(UNKNOWN,))
    model = load(
        file,
        provider=provider,
        threads=threads,
        provider_options=provider_settings(provider_option),
        provider_library=provider_library,
    )
    generator = Generator(model)
    _warn_of_unknown(generator.vocabulary.missing(prompt))
    characters = generator.characters(prompt, length, sampler)
    started = time.perf_counter()
    text = "".join(characters if json else _printed(prompt, characters))
    summary = GenerationSummary(
        prompt=prompt,
        text=text,
        elapsed_s=time.perf_counter() - started,
        provider=model.provider,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
    )
    _output.emit(summary, json=json, aside=True)
    _output.hint("rnnedge", "generate", file, "--prompt", prompt, "--seed", str(seed + 1))


def _printed(prompt: str, characters: Iterator[str]) -> Iterator[str]:
    """Prints the prompt and then each character as it comes, and hands it on."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal need not know all characters
    try:
        print(prompt, end="", flush=True)
        for character in characters:
            print(character, end="", flush=True)
            yield character
    finally:
        print(flush=True)


def _warn_of_unknown(missing: list[str]) -> None:
    if missing:
        shown = ", ".join(repr(character) for character in missing)
        _output.warn(
            f"the model does not know these characters of the prompt: {shown}",
            fix="the text goes on as after any unknown character; use others in --prompt",
        )
