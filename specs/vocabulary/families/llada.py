"""LLaDA (arXiv 2502.09992): Llama's layers under the names of OLMo."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class Llada(Rotary):
    """The LLaDA architecture; what it saves, the published code of LLaDA loads."""

    word: ClassVar[str] = "llada"
    model_types: ClassVar[tuple[str, ...]] = ("llada",)
    architecture: ClassVar[str] = "llama"
    implementation: ClassVar[str] = ""
    foreign: ClassVar[bool] = True
    mask_token: ClassVar[str | None] = "<|mdm_mask|>"
    end_of_turn: ClassVar[str | None] = "<|eot_id|>"
    chat_template: ClassVar[str | None] = (
        "{{ bos_token }}"
        "{% for message in messages %}"
        "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    )

    rope_theta: float = leaf("Base of the rotary frequencies.", default=500000.0, above=0)
    norm_epsilon: float = leaf("Added to the mean square before its root is taken.", default=1e-5, above=0)
