"""Which input and which output are the same state: checked if given, proposed if not.

Rules:
    1. Both have one element type, and shapes that can be equal.
    2. No tensor is in two pairs.
    3. Where both ends lie at one recurrent node, they lie at the same state of it: what an LSTM
       takes as hidden state does not come back as its cell.
    4. A proposal is the output whose name is most like the input's, once the words that only tell
       before from after (``in``, ``out``, ``next``, ``n``) are left away.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.files import Declared, Original, known
from rnnedge.adoption.roles import role_of_input, role_of_output

_ONLY_TELL_WHEN = frozenset(
    {"in", "out", "input", "output", "next", "new", "past", "present", "prev", "previous", "old"}
    | {"n", "0", "i", "o", "updated", "init", "initial", "final", "last"}
)
_LIKE_ENOUGH = 0.6


def check_pairs(original: Original, pairs: Mapping[str, str]) -> None:
    """Holds the pairs against what the graph declares.

    Raises:
        AdoptionError: no pair is given; a name is unknown or used twice; types or shapes differ.
    """
    if not pairs:
        raise _none_given(original)
    for source, result in pairs.items():
        where = f"--state {source}={result}, {original.path}"
        _check_names(original, source, result, where)
        if list(pairs.values()).count(result) > 1:
            raise AdoptionError(
                f"output {result!r} is the next value of two states",
                where=where,
                fix="give each state an output of its own",
            )
        before, after = original.inputs[source], original.outputs[result]
        if before.dtype != after.dtype:
            raise AdoptionError(
                f"{source!r} is {before.dtype}, {result!r} is {after.dtype}: no output of another "
                "type can be fed back",
                where=where,
                fix=_others(original, source),
            )
        if not _can_be_equal(before, after):
            raise AdoptionError(
                f"{source!r} is {before}, {result!r} is {after}: these shapes are never equal",
                where=where,
                fix=_others(original, source),
            )
        _check_roles(original, source, result, where)


def propose(original: Original) -> dict[str, str]:
    """Pairs that could be states, by rules 1, 2 and 4."""
    scored = sorted(
        (
            (_likeness(source, result), source, result)
            for source, before in original.inputs.items()
            for result, after in original.outputs.items()
            if before.dtype == after.dtype and _can_be_equal(before, after)
        ),
        key=lambda item: -item[0],
    )
    found: dict[str, str] = {}
    for score, source, result in scored:
        if score >= _LIKE_ENOUGH and source not in found and result not in found.values():
            found[source] = result
    return {source: found[source] for source in original.inputs if source in found}


def _none_given(original: Original) -> AdoptionError:
    proposed = propose(original)
    if proposed:
        words = " ".join(f"--state {source}={result}" for source, result in proposed.items())
        return AdoptionError(
            "no state is named; by their names and shapes these could be states: "
            + ", ".join(f"{s!r} -> {r!r}" for s, r in proposed.items()),
            where=f"--state, {original.path}",
            fix=f"if that is so, give: {words}",
        )
    inputs = ", ".join(f"{name} {port}" for name, port in original.inputs.items())
    outputs = ", ".join(f"{name} {port}" for name, port in original.outputs.items())
    return AdoptionError(
        f"no state is named, and no input looks like an output (inputs: {inputs}; outputs: "
        f"{outputs})",
        where=f"--state, {original.path}",
        fix="name the pairs with --state INPUT=OUTPUT; if the file has no states because its "
        "recurrent layers start from zero on every run, use `rnnedge lift`",
    )


def _check_names(original: Original, source: str, result: str, where: str) -> None:
    if source not in original.inputs:
        raise AdoptionError(
            f"the graph has no input {source!r}",
            where=where,
            fix=f"its inputs are: {known(list(original.inputs))}",
        )
    if result not in original.outputs:
        raise AdoptionError(
            f"the graph has no output {result!r}",
            where=where,
            fix=f"its outputs are: {known(list(original.outputs))}",
        )


def _others(original: Original, source: str) -> str:
    before = original.inputs[source]
    fitting = [
        name
        for name, after in original.outputs.items()
        if after.dtype == before.dtype and _can_be_equal(before, after)
    ]
    return f"outputs that fit {source!r}: {known(fitting)}"


def _check_roles(original: Original, source: str, result: str, where: str) -> None:
    """Rule 3."""
    before = role_of_input(original.model.graph, source)
    after = role_of_output(original.model.graph, result)
    if before is None or after is None or before.node != after.node or before == after:
        return
    raise AdoptionError(
        f"{source!r} is the {before.kind} state of node {before.node!r}, but {result!r} is its "
        f"{after.kind} state",
        where=where,
        fix="exchange the outputs of these two states",
    )


def _can_be_equal(before: Declared, after: Declared) -> bool:
    if before.shape is None or after.shape is None:
        return True
    return len(before.shape) == len(after.shape) and all(
        not (isinstance(a, int) and isinstance(b, int)) or a == b
        for a, b in zip(before.shape, after.shape, strict=True)
    )


def _likeness(source: str, result: str) -> float:
    one, other = _core(source), _core(result)
    return difflib.SequenceMatcher(None, one, other).ratio() if one and other else 0.0


def _core(name: str) -> str:
    """``stateN``, ``state_out``, ``new_state`` are all ``state``; ``h0`` and ``hn`` are ``h``."""
    split = re.sub(r"([a-z])([A-Z0-9])", r"\1_\2", name).lower()
    words = [w for w in re.split(r"[^a-z0-9]+", split) if w and w not in _ONLY_TELL_WHEN]
    core = "".join(words)
    return core[0] if core in ("hn", "cn") else core
