"""Prompts and answers in the form of DSPy's ChatAdapter, rendered by dspy itself."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import dspy
from dspy.propose.dataset_summary_generator import DatasetDescriptor, ObservationSummarizer
from dspy.propose.grounded_proposer import (
    DescribeModule,
    DescribeProgram,
    generate_instruction_class,
)

from baft_ba import role

if TYPE_CHECKING:
    from random import Random

Messages = tuple[tuple[str, str], ...]
_CODE = "StringSignature(concept -> title, description, functional_requirements)"


@cache
def signature(instruction: str, reasoning: bool = False) -> Any:
    """The role as a DSPy signature: the concept in, five strings out."""
    kinds: dict[str, Any] = {
        field.name: (str, dspy.InputField(desc=field.description)) for field in role.INPUTS
    }
    if reasoning:
        kinds["reasoning"] = (str, dspy.OutputField(desc="${reasoning}"))
    for field in role.OUTPUTS:
        kinds[field.name] = (str, dspy.OutputField(desc=field.description))
    return dspy.make_signature(kinds, instruction)


def messages(
    instruction: str, demos: list[dict[str, str]], concept: str, reasoning: bool = False
) -> Messages:
    """The turns that ChatAdapter sends."""
    return _format(signature(instruction, reasoning), demos, {"concept": concept})


def answer(outputs: dict[str, str], reasoning: bool = False) -> str:
    """The reply that ChatAdapter reads."""
    adapter = dspy.ChatAdapter()
    return adapter.format_assistant_message_content(signature(role.TASK, reasoning), outputs)


def proposal(instruction: str, demo: dict[str, str], random: Random) -> tuple[Messages, str]:
    """One question of MIPROv2's proposer and a fitting reply."""
    example = "\n".join(f"{key}: {value}" for key, value in demo.items())
    about = "The program writes a title, a description, requirements and constraints for a concept."
    data = "The data are product concepts of many industries with a requirements document for each."
    replies = {"program_description": about, "module_description": about}
    replies |= {"observations": data, "summary": data, "proposed_instruction": instruction}
    kind = random.choices(
        (DescribeProgram, DescribeModule, DatasetDescriptor, ObservationSummarizer, None),
        (1, 1, 1, 1, 6),
    )[0]
    if kind is None:
        flags = [random.random() < 0.6 for _ in range(5)]
        kind = generate_instruction_class(*flags).signature
    inputs = {
        "program_code": _CODE,
        "program_example": example,
        "program_description": about,
        "module": f"Predict(concept) -> {', '.join(list(demo)[1:])}",
        "module_description": about,
        "dataset_description": data,
        "task_demos": example,
        "previous_instructions": "",
        "basic_instruction": role.TASK,
        "tip": random.choice(("Keep the instruction clear and concise.", "Be creative.")),
        "examples": example,
        "observations": data,
    }
    inputs = {key: value for key, value in inputs.items() if key in kind.input_fields}
    outputs = {key: replies[key] for key in kind.output_fields}
    reply = dspy.ChatAdapter().format_assistant_message_content(kind, outputs)
    return _format(kind, [], inputs), reply


def _format(kind: Any, demos: list[dict[str, str]], inputs: dict[str, str]) -> Messages:
    turns = dspy.ChatAdapter().format(kind, demos, inputs)
    return tuple((turn["role"], turn["content"]) for turn in turns)
