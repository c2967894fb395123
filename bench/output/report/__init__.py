"""The report: answers in words, charts, tables and where they are from, in one HTML file.

write_report(select(runs), Path("report.html"))
"""

from bench.output.report.page import build_page, write_report

__all__ = ["build_page", "write_report"]
