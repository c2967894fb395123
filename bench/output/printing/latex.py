"""Tables for papers: LaTeX with the rules of booktabs, names escaped, the best figures bold."""

from collections.abc import Iterable

import pandas as pd

from bench.analysis.selection import Table
from bench.output.printing.digits import as_text
from bench.output.printing.escaping import for_latex

BOLD = "textbf:--rwrap;"
"""What pandas calls a command that a value is wrapped into."""


def to_latex(table: Table) -> str:
    r"""Return a table as a LaTeX environment; the document needs `\usepackage{booktabs}`."""
    texts = as_text(table.frame)[table.shown].map(for_latex).reset_index(drop=True)
    bold = pd.DataFrame(
        [[BOLD if (row, name) in table.best else "" for name in table.shown] for row in table.frame.index],
        columns=[for_latex(name) for name in table.shown],
    )
    align = "".join("r" if pd.api.types.is_numeric_dtype(table.frame[name]) else "l" for name in table.shown)
    styled = texts.rename(columns=for_latex).style.hide(axis="index").apply(lambda _: bold, axis=None)
    tabular = styled.to_latex(hrules=True, column_format=align).rstrip("\n")
    notes = [rf"\par\footnotesize {for_latex(note)}" for note in table.notes]
    begin = [r"\begin{table}", r"\centering", rf"\caption{{{for_latex(table.title)}}}"]
    return "\n".join([*begin, tabular, *notes, r"\end{table}"])


def comment(lines: Iterable[str]) -> str:
    """Return lines that LaTeX does not print."""
    return "\n".join(f"% {' '.join(line.splitlines())}" for line in lines)
