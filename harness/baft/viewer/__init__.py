"""A local web page on all runs of a project: read-only, rendered here, for one person.

``guard`` decides who may ask, ``catalog`` finds the runs, ``pages`` answers, ``server`` listens.
"""

from __future__ import annotations

from ..loopback import listen
from .pages import make_app
from .server import address, serve

__all__ = ["address", "listen", "make_app", "serve"]
