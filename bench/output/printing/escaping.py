"""Names come from outside: what must be escaped before they reach a terminal, a spreadsheet or LaTeX. Pure."""

import unicodedata

import pandas as pd

UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what steers a terminal or the direction of text and is not seen itself."""
FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for a formula if a cell begins with it."""
LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def visible(text: str) -> str:
    r"""Write control characters so that they are seen: a name cannot colour a terminal, move its cursor or ring.

    Line ends stay. A backslash stays too, so that `\x1b` in a table may have been written so.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if letter != "\n" and unicodedata.category(letter) in UNSEEN
        else letter
        for letter in text
    )


def for_spreadsheet(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would run as a formula; control characters are made visible.

    Source:
        OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection
    """
    seen = visible(text)
    return f"'{seen}" if seen.lstrip().startswith(FORMULA) else seen


def frame_for_spreadsheet(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose texts, headings included, are safe to open in a spreadsheet; figures stay."""
    texts = {
        name: frame[name].map(lambda value: for_spreadsheet(value) if isinstance(value, str) else value)
        for name in frame.columns
        if not pd.api.types.is_numeric_dtype(frame[name])
    }
    return frame.assign(**texts).rename(columns=for_spreadsheet)


def for_latex(text: str) -> str:
    """Escape what LaTeX would take for a command; line ends become spaces."""
    return " ".join("".join(LATEX.get(letter, letter) for letter in visible(text)).splitlines())
