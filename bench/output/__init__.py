"""What a reader sees: tables, charts, the report, text for the terminal, files for other programs."""
