"""Tables for notebooks: texts are escaped, whoever wrote them."""

from __future__ import annotations

from mri_gan.tables import html_table


def test_a_table_escapes_what_it_shows() -> None:
    table = html_table("a & b", [("<x>", 0.123456, "y\x1b")], ["name", "value", "note"])
    assert table == (
        '<table><caption>a &amp; b</caption><tr><th scope="col">name</th><th scope="col">value</th>'
        '<th scope="col">note</th></tr><tr><th scope="row">&lt;x&gt;</th><td>0.1235</td>'
        "<td>y?</td></tr></table>"
    )
