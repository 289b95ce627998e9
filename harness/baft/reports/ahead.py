"""What the first reports of a process would wait for, done while there is time."""

from __future__ import annotations

from . import charts, html, markdown


def make_ready() -> None:
    """Compile the templates and draw once, which loads Matplotlib and the fonts it needs."""
    for environment, kind in ((html.environment(), "html"), (markdown.environment(), "md")):
        for name in environment.list_templates(extensions=[kind]):
            environment.get_template(name)
    charts.nothing()
