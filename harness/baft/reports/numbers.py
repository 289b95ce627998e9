"""Numbers as people read them: the only place that rounds. None and NaN read ``n/a``."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..records import Interval

NA = "n/a"


def score(value: float | None, digits: int = 4) -> str:
    """A score or a mean.

    >>> score(0.92857142)
    '0.9286'
    """
    return NA if _missing(value) else f"{value:.{digits}f}"


def difference(value: float | None, digits: int = 4) -> str:
    """A signed difference; one too small for the digits is not shown as zero.

    >>> difference(0.03125), difference(0.0), difference(-0.00001)
    ('+0.0312', '0', '-1e-05')
    """
    if value is None or _missing(value):
        return NA
    if value == 0:
        return "0"
    text = f"{value:+.{digits}f}"
    return f"{value:+.0e}" if not float(text) else text


def exact(value: float | str | None) -> str:
    """What a rule looked at: enough digits to see on which side of the bound it lies.

    >>> exact(0.8534999), exact(1.0), exact("2 of 22")
    ('0.8534999', '1', '2 of 22')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NA
    return value if isinstance(value, str) else f"{value:.7g}"


def interval(found: Interval | None, digits: int = 3, *, signed: bool = False) -> str:
    """Both ends of an interval.

    >>> from baft.records import Interval
    >>> interval(Interval(low=0.81234, high=0.9))
    '0.812 to 0.900'
    """
    if found is None:
        return NA
    show = difference if signed else score
    return f"{show(found.low, digits)} to {show(found.high, digits)}"


def percent(share: float | None) -> str:
    """A share as a percentage; only all is 100 % and only none is 0 %.

    >>> percent(0.8636), percent(1.0), percent(0.9999), percent(0.0001)
    ('86.4 %', '100 %', '> 99.9 %', '< 0.1 %')
    """
    if share is None or _missing(share):
        return NA
    text = f"{share * 100:.1f}".removesuffix(".0")
    if text == "100" and share < 1:
        return "> 99.9 %"
    return "< 0.1 %" if text == "0" and share > 0 else f"{text} %"


def points(value: float | None) -> str:
    """Points of a component, as many digits as they need.

    >>> points(0.5), points(0.38636), points(0)
    ('0.5', '0.386', '0')
    """
    return NA if value is None or _missing(value) else f"{value:.3f}".rstrip("0").rstrip(".")


def count(number: int) -> str:
    """A whole number with thousands set apart.

    >>> count(30000)
    '30,000'
    """
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "example"), counted(22, "example")
    ('1 example', '22 examples')
    """
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def rate(value: float | None) -> str:
    """Something by second.

    >>> rate(8.25), rate(412.3)
    ('8.2', '412')
    """
    return NA if value is None or _missing(value) else f"{value:.{1 if value < 100 else 0}f}"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them.

    >>> duration(0.0421), duration(8.25), duration(125), duration(3725)
    ('42 ms', '8.2 s', '2 min 5 s', '1 h 2 min')
    """
    if seconds is None or _missing(seconds):
        return NA
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def byte_count(number: int | None) -> str:
    """A size in powers of 1024, three digits at most.

    >>> byte_count(123), byte_count(1536), byte_count(5 * 2**30)
    ('123 B', '1.5 KiB', '5 GiB')
    """
    if number is None:
        return NA
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.3g} {unit}"


def moment(date: str) -> str:
    """An ISO 8601 time to the minute; anything else as it is.

    >>> moment("2026-07-29T10:15:42+00:00")
    '2026-07-29 10:15 UTC'
    """
    try:
        found = datetime.fromisoformat(date)
    except ValueError:
        return date
    return f"{found:%Y-%m-%d %H:%M} {found.tzname() or ''}".strip()


def p_value(p: float | None) -> str:
    """A p-value with its sign.

    >>> p_value(0.0312), p_value(0.00004), p_value(1.0)
    ('p = 0.031', 'p < 0.001', 'p = 1')
    """
    if p is None or _missing(p):
        return f"p {NA}"
    return f"p {p_bare(p)}" if p < 0.001 else f"p = {p_bare(p)}"


def p_bare(p: float | None) -> str:
    """A p-value for a table.

    >>> p_bare(0.0312), p_bare(0.00004)
    ('0.031', '< 0.001')
    """
    return "< 0.001" if p is not None and p < 0.001 else points(p)


def _missing(value: float | None) -> bool:
    return value is None or not math.isfinite(value)
