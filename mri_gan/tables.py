"""Tables that notebooks show for an object: its `_repr_html_`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from mri_gan.errors import printable


def html_table(caption: str, rows: Iterable[Sequence[object]], head: Sequence[str] = ()) -> str:
    """An HTML table whose first column names the rows; every text is escaped."""
    lines = ["<table>", f"<caption>{_text(caption)}</caption>"]
    if head:
        lines.append("<tr>" + "".join(f'<th scope="col">{_text(h)}</th>' for h in head) + "</tr>")
    for name, *cells in rows:
        values = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{_text(name)}</th>{values}</tr>')
    return "".join([*lines, "</table>"])


def _text(value: object) -> str:
    return escape(printable(f"{value:.4g}" if isinstance(value, float) else str(value)))
