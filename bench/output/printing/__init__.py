"""From a table to text: for a terminal, as Markdown, CSV, LaTeX or JSON; which rows, and how many digits."""
