"""How every chart looks: colours for light, dark and print, and a fixed mark for each backend and model.

Backends and models differ in colour and in dash and shape, so that a chart can be read in grey. Colours are picked
to be told apart by colour-blind readers and to have a contrast of at least 3 to 1 with the background.
"""

from dataclasses import dataclass
from typing import Any

DASHES = ([1, 0], [7, 3], [2, 2], [2, 2], [1, 0], [7, 3], [9, 2, 2, 2], [4, 4], [9, 2, 2, 2, 2, 2], [12, 3])
SHAPES = (
    *("circle", "square", "triangle-up", "circle", "square", "triangle-up"),
    *("diamond", "triangle-down", "cross", "triangle-right"),
)


@dataclass(frozen=True)
class Palette:
    """The colours of a chart: text, axes, grid, background, series, and stages that follow one another in time."""

    ink: str
    soft: str
    line: str
    paper: str
    marks: tuple[str, ...]
    stages: tuple[str, ...]

    @property
    def css(self) -> str:
        """Return the colours as declarations of CSS variables."""
        colors = {"ink": self.ink, "soft": self.soft, "line": self.line, "paper": self.paper}
        colors |= {f"mark-{number}": color for number, color in enumerate(self.marks)}
        colors |= {f"stage-{number}": color for number, color in enumerate(self.stages)}
        return " ".join(f"--{name}: {color};" for name, color in colors.items())


LIGHT = Palette(
    ink="#1c2024",
    soft="#5b636b",
    line="#e2e5e8",
    paper="#ffffff",
    marks=(
        *("#0072b2", "#d55e00", "#2b2f33"),
        *("#8e44ad", "#00805e", "#a86a00"),
        *("#b3305c", "#1f7a8c", "#6b6f00", "#7a7f85"),
    ),
    stages=("#3a3f44", "#4f8fb8", "#d99a2b", "#f0d9ae"),
)
DARK = Palette(
    ink="#e6e8ea",
    soft="#a3abb3",
    line="#343b41",
    paper="#14171a",
    marks=(
        *("#56b4e9", "#f08a4b", "#d5d9dd"),
        *("#c58be0", "#3ccf9f", "#e0a83c"),
        *("#f07fa6", "#5cc3d6", "#c2c64a", "#98a0a7"),
    ),
    stages=("#8b949c", "#4f9fd0", "#d99a2b", "#6d5a33"),
)
PAGE = Palette(
    ink="var(--ink)",
    soft="var(--soft)",
    line="var(--line)",
    paper="transparent",
    marks=tuple(f"var(--mark-{number})" for number in range(len(LIGHT.marks))),
    stages=tuple(f"var(--stage-{number})" for number in range(len(LIGHT.stages))),
)
"""Colours that the style sheet of a page sets, so that a change of theme needs no new drawing."""


def config(palette: Palette) -> dict[str, Any]:
    """Return the Vega-Lite configuration of a palette."""
    text = {"labelColor": palette.ink, "titleColor": palette.ink, "labelFontSize": 11, "titleFontSize": 11}
    return {
        "background": palette.paper,
        "font": "system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, DejaVu Sans, sans-serif",
        "view": {"stroke": None},
        "axis": text
        | {"gridColor": palette.line, "domainColor": palette.soft, "tickColor": palette.soft, "labelLimit": 0}
        | {"titleFontWeight": "normal", "labelOverlap": "greedy"},
        "header": {"labelColor": palette.ink, "labelFontSize": 12, "labelFontWeight": "bold", "labelLimit": 0},
        "legend": text
        | {"orient": "top", "direction": "horizontal", "labelLimit": 0, "title": None, "symbolSize": 70}
        | {"symbolStrokeWidth": 2, "columnPadding": 14},
        "title": {"color": palette.ink, "subtitleColor": palette.soft, "anchor": "start", "fontSize": 14}
        | {"subtitleFontSize": 11, "offset": 10, "limit": 0, "subtitlePadding": 4},
        "range": {"category": list(palette.marks), "ordinal": list(palette.stages)},
        "mark": {"color": palette.marks[0]},
        "rule": {"color": palette.soft},
        "style": {"guide": {"color": palette.soft, "strokeWidth": 1, "strokeDash": [3, 3]}},
        "text": {"color": palette.ink, "fontSize": 11},
        "line": {"strokeWidth": 1.8},
        "point": {"size": 45, "filled": True, "opacity": 1},
    }
