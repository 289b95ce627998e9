"""Who is in service, in MLflow's model registry: versions of ``baft-ROLE`` and one alias."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException

from .reporter import client_for, runs_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow import MlflowClient

    import baft

CHAMPION = "champion"

FINGERPRINT, EVIDENCE = "baft.fingerprint", "baft.run"


def crown(promotion: baft.Promotion, env: Mapping[str, str]) -> None:
    """Let the alias ``champion`` of ``baft-ROLE`` name what now serves the role.

    A promotion makes a version unless this model was promoted from this run before. A rollback
    goes back to the version of the model that serves again; where MLflow never heard of that
    model, nobody is champion.
    """
    client, name = client_for(env), f"baft-{promotion.role}"
    if promotion.action == "promote":
        _ensure(client, name)
    elif not client.search_registered_models(f"name='{name}'"):
        return
    version = _version(client, name, promotion)
    if version is None and promotion.action == "promote":
        version = _new_version(client, name, promotion)
    if version is None:
        client.delete_registered_model_alias(name, CHAMPION)
    else:
        client.set_registered_model_alias(name, CHAMPION, version)


def _ensure(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version(client: MlflowClient, name: str, promotion: baft.Promotion) -> str | None:
    """The newest version of that model; of a promotion also from the same run."""
    versions = client.search_model_versions(f"name='{name}'")
    for found in sorted(versions, key=lambda version: -int(version.version)):
        same_run = found.tags.get(EVIDENCE) == Path(promotion.run).name
        if found.tags.get(FINGERPRINT) == promotion.fingerprint and (
            same_run or promotion.action == "rollback"
        ):
            return str(found.version)
    return None


def _new_version(client: MlflowClient, name: str, promotion: baft.Promotion) -> str:
    """A version that points at the MLflow run of the evidence, where there is one."""
    run = Path(promotion.run).name
    evidence: Any = next(iter(runs_of(client, run, promotion.arm)), None)
    made = client.create_model_version(
        name,
        source=evidence.info.artifact_uri if evidence else promotion.spec,
        run_id=evidence.info.run_id if evidence else None,
        description=f"{promotion.spec}, promoted by {promotion.who} on {promotion.host}",
        tags={
            FINGERPRINT: promotion.fingerprint,
            EVIDENCE: run,
            "baft.arm": promotion.arm,
            "baft.spec": promotion.spec,
            "baft.date": promotion.date,
            "baft.config": promotion.config,
            "baft.config_sha256": promotion.sha256_after,
            "baft.forced": str(promotion.forced).lower(),
        },
    )
    return str(made.version)
