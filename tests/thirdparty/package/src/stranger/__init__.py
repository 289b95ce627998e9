"""A backend and a role for baft, by somebody who has never seen its code."""

from __future__ import annotations

import baft


@baft.hookimpl
def baft_register_backends(register: baft.Register[baft.Backend]) -> None:
    register("parrot", _parrot)


@baft.hookimpl
def baft_register_roles(register: baft.Register[baft.Role]) -> None:
    register("greeter", _greeter)


@baft.hookimpl
def baft_register_metrics(register: baft.Register[baft.Metric]) -> None:
    register("greeting", _greeting)


def _parrot(target: str, context: baft.Context) -> baft.Backend:
    from .parrot import Parrot

    return Parrot(target)


def _greeter() -> baft.Role:
    from .greeter import Greeter

    return Greeter()


def _greeting() -> baft.Metric:
    from .greeter import Greeting

    return Greeting()
