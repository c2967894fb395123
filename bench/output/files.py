"""Write a file whole or not at all, and find out early whether it can be written."""

import os
import tempfile
from pathlib import Path

from bench.errors import UserError


def check_target(path: Path, option: str, suffixes: tuple[str, ...]) -> None:
    """Find out before training whether a file can be written there.

    Args:
        path: the file.
        option: which option names it.
        suffixes: how its name may end.

    Raises:
        UserError: if it cannot.
    """
    if path.suffix.lower() not in suffixes:
        raise UserError(f"`{option}` must end in {' or '.join(suffixes)}. Received: {path}. Name it so.")
    problem = "it is a folder" if path.is_dir() else ""
    try:
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise UserError(f"`{option}` must be a file that can be written. Received: {path} ({problem}). Name another.")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name and then give it its own, so that it is whole or not there.

    Raises:
        UserError: if it cannot be written after all.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error.strerror}). Name another file.") from None
