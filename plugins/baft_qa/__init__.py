"""Quality assurance: test cases for a story, and a report on code whose tests were run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import baft

if TYPE_CHECKING:
    from baft import Metric, Register, Role


@baft.hookimpl
def baft_register_roles(register: Register[Role]) -> None:
    """Offer the roles ``qa`` and ``qa_report``."""
    register("qa", _test_cases)
    register("qa_report", _report, experimental=True)


@baft.hookimpl
def baft_register_metrics(register: Register[Metric]) -> None:
    """Offer the metrics ``qa_coverage`` and ``qa_report``."""
    register("qa_coverage", _coverage_metric)
    register("qa_report", _report_metric, experimental=True)


def _test_cases() -> Role:
    from .role import TestCaseWriter

    return TestCaseWriter()


def _report() -> Role:
    from .report_role import QualityReporter

    return QualityReporter()


def _coverage_metric() -> Metric:
    from .metric import CoverageMetric

    return CoverageMetric()


def _report_metric() -> Metric:
    from .report_metric import ReportMetric

    return ReportMetric()
