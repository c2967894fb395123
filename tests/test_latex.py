"""LaTeX: booktabs, escaped names, figures to the right, the best one bold."""

import pandas as pd

from bench.analysis.selection import Table
from bench.output.printing.latex import comment, to_latex

TABLE = Table(
    "Speed & more",
    pd.DataFrame({"model": ["simple_rnn", "a$b"], "25 % ms": [10.0, 20.0], "path": ["scan", ""]}, index=[3, 7]),
    ("100 % sure_",),
    best=frozenset({(7, "25 % ms")}),
)


def test_a_table_is_an_environment_with_the_rules_of_booktabs() -> None:
    assert to_latex(TABLE).splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{Speed \& more}",
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"model & 25 \% ms & path \\",
        r"\midrule",
        r"simple\_rnn & 10.0 & scan \\",
        r"a\$b & \textbf{20.0} &  \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\footnotesize 100 \% sure\_",
        r"\end{table}",
    ]


def test_only_chosen_columns_are_written() -> None:
    chosen = Table(TABLE.title, TABLE.frame, columns=("path", "model", "unknown"))
    assert r"path & model \\" in to_latex(chosen) and "10.0" not in to_latex(chosen)


def test_a_comment_cannot_be_left() -> None:
    assert comment(["a\nb", "c"]) == "% a b\n% c"
