"""Files that a user names: find out early whether one can be written, and write it as a whole or not at all."""

import os
import tempfile
from pathlib import Path

from bench.errors import UserError


def check_target(path: Path, option: str, suffixes: tuple[str, ...]) -> None:
    """Find out before anything is measured whether the file that an option names can be written.

    Raises:
        UserError: if it cannot, or its name ends otherwise.
    """
    if path.suffix.lower() not in suffixes:
        raise UserError(f"`{option}` must end in {' or '.join(suffixes)}. Received: {path}. Rename it.")
    problem = "it is a folder" if path.is_dir() else ""
    try:
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise UserError(f"`{option}` must be a file that can be written. Received: {path} ({problem}). Name another.")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under another name first and rename it, so that it is there as a whole or not at all.

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
