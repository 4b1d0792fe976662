"""`docs/inspect.md`: its picture is that of its module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "inspect.md"


@pytest.mark.slow
def test_the_pages_picture_is_of_the_pages_module(tmp_path, call) -> None:
    import rnnedge

    text = PAGE.read_text(encoding="utf-8")
    before, picture = re.findall(r"(.*)```mermaid\n(.*?)```", text, re.DOTALL)[0]
    code = re.findall(r"```python\n(.*?)```", before, re.DOTALL)[-1]
    spec = re.findall(r'--input "(.*?)"', before)[-1]
    names: dict[str, type] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102
    path = tmp_path / "denoiser.onnx"
    rnnedge.export(names["Denoiser"](), path, inputs=[spec], verify=False)
    assert call("inspect", path, "--graph", "-").out == picture
