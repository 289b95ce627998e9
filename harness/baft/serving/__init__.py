"""The model in service answers: one question, the pipeline's question, or all of them.

``ask`` has one answered, by a running server where there is one; ``pipeline`` reads and writes what
the pipeline's command provider does; ``app`` and ``wire`` are the OpenAI-compatible server around
the model, which ``running`` notes in a file for ``client`` to find.
"""

from __future__ import annotations

from .ask import Answer, ask
from .pipeline import PipelineRequest, pipeline_answer, pipeline_request

__all__ = ["Answer", "PipelineRequest", "ask", "pipeline_answer", "pipeline_request"]
