"""Write the reference results into the README and results/reference/tables.md.

`python docs/update_readme.py` writes; with `--check` it only says whether they are up to date (exit 1 if not).
"""

import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from bench.printing import print_tables, to_markdown
from bench.selection import Selection, provenance, select
from bench.store import load_runs
from bench.tables import overview_table

PROJECT = Path(__file__).parent.parent
REFERENCE = PROJECT / "results" / "reference"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def readme_block(chosen: Selection) -> str:
    """Return the README's table with where it is from."""
    source = "\n".join(f"- {line}" for line in provenance(chosen))
    table = to_markdown(overview_table(chosen)).partition("\n\n")[2]
    command = chosen.runs[-1].header.command
    return f"{BEGIN}\n{table}\n\n{source}\n- measured by `{command}`; all tables: results/reference/tables.md\n{END}"


def all_tables(chosen: Selection) -> str:
    """Return every table in Markdown."""
    text = StringIO()
    with redirect_stdout(text):
        print_tables(chosen, ["all"], form="markdown")
    return f"# Reference results\n\nMade by `python docs/update_readme.py`.\n\n{text.getvalue()}"


def main() -> None:
    """Write both files, or compare them with what would be written."""
    runs, problems = load_runs(REFERENCE)
    chosen = select(runs)
    readme = PROJECT / "README.md"
    before, _, rest = readme.read_text("utf-8").partition(BEGIN)
    wanted = {
        readme: before + readme_block(chosen) + rest.partition(END)[2],
        REFERENCE / "tables.md": all_tables(chosen),
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(PROJECT)} is not what the records say: python docs/update_readme.py")
    else:
        for path in stale:
            path.write_text(wanted[path], "utf-8")
    sys.exit(1 if problems or (stale and "--check" in sys.argv) else 0)


if __name__ == "__main__":
    main()
