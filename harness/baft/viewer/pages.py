"""The viewer's pages: each reads what it shows, and nothing that is opened later."""

from __future__ import annotations

import base64
import hashlib
import threading
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import jinja2
from starlette.applications import Starlette
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from ..errors import BaftError, UsageError
from ..promotion.ledger import Ledger
from ..reports import diff_runs
from ..reports import numbers as show
from ..reports.examples import tone
from ..reports.rundiff import sentence
from ..reports.text import cut, label, one_line, visible
from ..reports.wording import STRENGTHS
from ..store import RunReader
from .answers import example_page
from .catalog import Catalog, RunLine, arm_lines
from .guard import POLICY, Guard
from .trend import trend

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp

FILES = {
    "report.html": "text/html",
    "report.md": "text/plain",
    "report.json": "application/json",
    "decision.json": "application/json",
    "run.json": "application/json",
}
"""Files of a run that are handed out, and as what."""

ASSETS = {
    "report.css": ("baft.reports", "templates", "text/css"),
    "view.css": ("baft.viewer", "static", "text/css"),
    "view.js": ("baft.viewer", "static", "text/javascript"),
}

PAGE = 50
"""Examples, and changes of a comparison, on one page."""
LISTED = 200
"""Runs on one page."""


def make_app(project: Path, *, further: Iterable[Path] = (), port: int, token: str) -> ASGIApp:
    """The viewer of a project's runs.

    Args:
        project: the folder with ``artifacts/``.
        further: folders of runs that lie elsewhere.
        port: where it will listen.
        token: what the first request must bring.
    """
    pages = Pages(project, Catalog(project / "artifacts" / "runs", further))
    routes = [
        Route("/", pages.index),
        Route("/trend", pages.trend),
        Route("/diff", pages.diff),
        Route("/diff/example", pages.diff_example),
        Route("/run/{run}", pages.run),
        Route("/run/{run}/live", pages.live),
        Route("/run/{run}/example", pages.example),
        Route("/run/{run}/file/{name}", pages.file),
        Route("/static/{name}", pages.asset),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={404: pages.missing, BaftError: pages.problem, Exception: pages.problem},
    )
    return Guard(app, port=port, token=token)


class Pages:
    """Every page of one viewer."""

    def __init__(self, project: Path, catalog: Catalog) -> None:
        self._project = project
        self._catalog = catalog
        self._templates = _environment()
        self._drawing = threading.Lock()

    def index(self, request: Request) -> Response:
        """All runs, the trend of each role, who was promoted when."""
        lines = self._catalog.lines()
        role = request.query_params.get("role", "")
        chosen = [line for line in lines if not role or _role(line) == role]
        start = _number(request, "start")
        return self._page(
            "index.html",
            roles=sorted({_role(line) for line in lines if line.manifest}),
            role=role,
            lines=chosen[start : start + LISTED],
            start=start,
            total=len(chosen),
            promotions=[
                record
                for record in reversed(Ledger(self._project).recorded())
                if not role or record.role == role
            ],
            size=LISTED,
        )

    def trend(self, request: Request) -> Response:
        """The chart of one role, drawn when it is looked at: Matplotlib takes a second to load."""
        from ..reports.charts import trend_chart

        role = request.query_params.get("role", "")
        found = trend(self._catalog.lines(), role)
        if found is None:
            return self.missing(request)
        with self._drawing:  # Matplotlib's style is one for all threads
            chart = trend_chart("trend", role, found.means, found.threshold)
        name = "chart.html" if "part" in request.query_params else "trend.html"
        return self._page(name, chart=chart, role=role, runs=found.runs)

    def run(self, request: Request) -> Response:
        """One run: what was asked, how far it is, the decision, its examples by score."""
        id_, folder = self._found(request)
        line = self._catalog.line(id_, folder)
        if line.manifest is None:
            raise UsageError(f"The run cannot be read. {line.problem}", "")
        start = _number(request, "start")
        with RunReader.reading(folder) as store:
            titles = store.titles(start, PAGE)
            scores = [store.example_scores(arm.name, line.manifest.repeats) for arm in line.arms]
        return self._page(
            "run.html",
            **self._progress(line),
            files=[name for name in FILES if (folder / name).is_file()],
            examples=[
                (example_id, cut(one_line(title), 160)[0], [by.get(example_id) for by in scores])
                for example_id, title in titles
            ],
            start=start,
            total=line.manifest.num_examples,
            size=PAGE,
        )

    def live(self, request: Request) -> Response:
        """The part of a run's page that changes while it executes."""
        id_, folder = self._found(request)
        return self._page("live.html", **self._progress(self._catalog.line(id_, folder)))

    def example(self, request: Request) -> Response:
        """One example of a run with every arm's answer."""
        id_, folder = self._found(request)
        wanted = request.query_params.get("id", "")
        with RunReader.reading(folder) as store:
            manifest, found = store.manifest(), store.example(wanted)
            if found is None:
                return self.missing(request)
            results = [
                (arm.name, place, list(store.results(arm.name, wanted)))
                for place, arm in enumerate(arm_lines(manifest, {}))
            ]
        threshold = manifest.policy.threshold
        page = example_page(*found, results, manifest.component_max, threshold)
        return self._example(request, page, back=f"/run/{quote(id_, safe='')}", title=id_)

    def diff(self, request: Request) -> Response:
        """Two runs: what was fixed, what broke, what else differs."""
        (first, before), (second, after) = self._two(request)
        forced = "force" in request.query_params
        with RunReader.reading(before) as a, RunReader.reading(after) as b:
            pairs = {
                one: other or one
                for one, _, other in (
                    pair.partition("=") for pair in request.query_params.getlist("arm")
                )
            }
            found = diff_runs(a, b, pairs or None, force=forced)
            threshold = b.manifest().policy.threshold
        return self._page(
            "diff.html",
            diff=found,
            first=first,
            second=second,
            sentence=sentence,
            threshold=threshold,
            size=PAGE,
        )

    def diff_example(self, request: Request) -> Response:
        """One example with the answers of one arm in two runs."""
        (first, before), (second, after) = self._two(request)
        asked = request.query_params
        wanted, one, other = asked.get("id", ""), asked.get("one", ""), asked.get("other", "")
        with RunReader.reading(before) as a, RunReader.reading(after) as b:
            manifest, found = b.manifest(), b.example(wanted)
            if found is None:
                return self.missing(request)
            results = [
                (f"{one} · {first}", 0, list(a.results(one, wanted))),
                (f"{other} · {second}", 1, list(b.results(other, wanted))),
            ]
        threshold = manifest.policy.threshold
        page = example_page(*found, results, manifest.component_max, threshold, marked=True)
        back = "/diff?" + urlencode([("run", first), ("run", second)])
        return self._example(request, page, back=back, title=f"{first} and {second}")

    def file(self, request: Request) -> Response:
        """A file of a run, as it lies there; a page from elsewhere runs in a sandbox."""
        _, folder = self._found(request)
        name = request.path_params["name"]
        path = folder / name
        if name not in FILES or path.is_symlink() or not path.is_file():
            return self.missing(request)
        headers = {"content-security-policy": report_policy() if name == "report.html" else POLICY}
        kind = f"{FILES[name]}; charset=utf-8"
        return FileResponse(path, headers=headers, media_type=kind)

    def asset(self, request: Request) -> Response:
        """A style sheet or the script."""
        name = request.path_params["name"]
        if name not in ASSETS:
            return self.missing(request)
        package, folder, kind = ASSETS[name]
        text = resources.files(package).joinpath(folder, name).read_text(encoding="utf-8")
        return Response(text, media_type=kind)

    def missing(self, request: Request, error: Exception | None = None) -> Response:
        """There is no such page."""
        return self._page(
            "problem.html", message="There is nothing here.", hint="", retry="", status=404
        )

    def problem(self, request: Request, error: Exception) -> Response:
        """What could not be read, and what to do next."""
        known = isinstance(error, BaftError)
        message = error.message if isinstance(error, BaftError) else type(error).__name__
        hint = error.hint if isinstance(error, BaftError) else "The run may be damaged."
        retry = f"{request.url.path}?{request.url.query}&force=1" if "--force" in hint else ""
        return self._page(
            "problem.html",
            message=message,
            hint=hint.replace("--arm A=B", "arm=A=B in the address"),
            retry=retry,
            status=422 if known else 500,
        )

    def _found(self, request: Request) -> tuple[str, Path]:
        id_ = request.path_params["run"]
        return id_, self._folder(id_)

    def _two(self, request: Request) -> tuple[tuple[str, Path], tuple[str, Path]]:
        chosen = request.query_params.getlist("run")
        if len(chosen) != 2:
            raise UsageError(
                f"{show.counted(len(chosen), 'run')} chosen.", "Choose two runs in the list."
            )
        # the earlier one, by name and so by time, is the state before
        first, second = chosen if "swap" in request.query_params else sorted(chosen)
        return (first, self._folder(first)), (second, self._folder(second))

    def _folder(self, id_: str) -> Path:
        folder = self._catalog.folders().get(id_)
        if folder is None:
            raise UsageError(f"There is no run {id_!r}.", "It may have been removed.")
        return folder

    def _progress(self, line: RunLine) -> dict[str, Any]:
        return {"line": line, "threshold": line.threshold}

    def _example(self, request: Request, page: Any, *, back: str, title: str) -> Response:
        name = "part.html" if "part" in request.query_params else "example.html"
        return self._page(name, example=page, back=back, title=title)

    def _page(self, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        html = self._templates.get_template(name).render(
            show=show, tone=tone, strengths=STRENGTHS, **values
        )
        return HTMLResponse(html, status_code=status)


def report_policy() -> str:
    """What report.html may do: run the scripts of this baft, alone in a sandbox without network.

    The file may come from elsewhere; whatever else it holds does not run, and it has no way to
    the viewer's other pages.
    """
    folder = resources.files("baft.reports").joinpath("templates")
    scripts = sorted(path.name for path in folder.iterdir() if path.name.endswith(".js"))
    hashes = " ".join(_hash(folder.joinpath(name).read_bytes()) for name in scripts)
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {hashes}; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
    )


def _hash(text: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _role(line: RunLine) -> str:
    return line.manifest.role if line.manifest else ""


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("baft.viewer"), jinja2.PackageLoader("baft.reports")]
        ),
        autoescape=True,
        finalize=_seen,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"label": label, "path": _path, "query": _query}
    return environment


def _seen(value: Any) -> Any:
    """Every value on its way into a page is made visible; the templates' markup stays as it is."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _path(text: str) -> str:
    """A part of a path."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def _query(values: dict[str, Any]) -> str:
    """A query; a list gives one field for each of its members."""
    return urlencode(values, doseq=True, errors="surrogatepass", encoding="utf-8")
