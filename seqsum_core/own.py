"""Call a function of the user's own, by its name; whatever goes wrong is one line. Workers only."""

import importlib
import re
import sys
from importlib.util import find_spec
from typing import Any, NoReturn

from seqsum_core.settings import require


def call_own(kind: str, name: str, length: int) -> Any:
    """Return what `package.module:function` returns for a length.

        call_own("model", "mine:build", 12)

    Args:
        kind: "model" or "task": what messages call it.
        name: of the function.
        length: timesteps.

    Raises:
        ValueError: naming it, if it cannot be imported or fails.
    """
    function = _import_function(kind, name)
    try:
        return function(length)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        _refuse(f"{kind.capitalize()} function `{name}` failed for length {length}: {_last(error)}. Fix it.", error)


def _import_function(kind: str, name: str) -> Any:
    module, _, attribute = name.partition(":")
    rule = f"`{kind}` must be package.module:function."
    is_path = module.endswith(".py") or "/" in module or "\\" in module
    stem = re.split(r"[/\\]", module)[-1].removesuffix(".py") or "mine"
    named = f"{stem}:{attribute or 'build'}"
    remedy = f"Name the module as import does, not its file: {named}, with its folder on PYTHONPATH."
    require(bool(module and attribute and not is_path), rule, name, remedy)
    if module not in sys.modules and not _is_found(module):
        rule = f"Module `{module}` of --{kind} {name} is not found."
        require(False, rule, module, "Check the spelling and that its folder is on PYTHONPATH or is the current one.")
    arguments, sys.argv = sys.argv, [module]  # a module that reads the command line does not find ours
    try:
        imported = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        _refuse(f"Module `{module}` of --{kind} {name} fails when it is imported: {_last(error)}. Fix it.", error)
    finally:
        sys.argv = arguments
    function = getattr(imported, attribute, None)
    near = [known for known in vars(imported) if callable(getattr(imported, known)) and not known.startswith("_")]
    rule = f"Module `{module}` has no function `{attribute}`."
    require(callable(function), rule, name, f"It has: {', '.join(near[:6]) or 'none'}.")
    return function


def _is_found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent package is missing, or the name is empty
        return False


def _last(error: BaseException) -> str:
    """Return type and message of an error in a line, and the file and line of the user's that raised it."""
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f" ({place.tb_frame.f_code.co_filename.rpartition('/')[2]}, line {place.tb_lineno})" if place else ""
    if isinstance(error, SyntaxError):
        where = ""  # its message says where
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'without a message'}{where}"


def _refuse(message: str, error: BaseException) -> NoReturn:
    raise ValueError(message) from error
