"""Tables on stdout: drawn on a terminal, plain aligned columns everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def show(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print `rows` under `headers`; the columns named in `right` are aligned to the right."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for header in headers:
            table.add_column(header, justify="right" if header in right else "left")
        for row in rows:
            # Text, so that brackets in a description are not taken for markup.
            table.add_row(*map(Text, row))
        Console().print(table)
        return
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    for row in (headers, *rows):
        cells = (
            cell.rjust(width) if header in right else cell.ljust(width)
            for cell, header, width in zip(row, headers, widths, strict=True)
        )
        print("  ".join(cells).rstrip())
