"""What torch's compiler does slowly on a processor, put to it in other words.

Nothing changes but the order of operations, and so the last digits.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor


def converted(graph: Any, examples: list[Any]) -> list[int]:
    """Which inputs of a captured ``graph`` are bytes that it would see as float32 only.

    Those conversions are taken out, as the compiler's kernels take each byte through memory:
    ``examples``, and whatever the graph is called with, are to be converted before.
    """
    places = []
    nodes = [node for node in graph.graph.nodes if node.op == "placeholder"]
    for i, (node, example) in enumerate(zip(nodes, examples, strict=True)):
        if not (isinstance(example, Tensor) and example.dtype == torch.uint8):
            continue
        wrapped = [user for user in node.users if "_wrap_for_grad" in str(user.target)]
        users = [user for one in [node, *wrapped] for user in one.users if user not in wrapped]
        if users and all(
            (user.op, user.target, user.args[1:]) == ("call_method", "to", (torch.float32,))
            for user in users
        ):
            for user in users:
                user.replace_all_uses_with(user.args[0])
                graph.graph.erase_node(user)
            for one in [node, *wrapped]:
                one.meta["example_value"] = one.meta["example_value"].float()
            examples[i] = example.float()
            places.append(i)
    graph.recompile()
    return places


def log1p_exp(a: Tensor) -> Tensor:
    """log(1 + eᵃ) in float32: max(a, 0) + 2 artanh(s), s = e/(2 + e), with e = exp(−|a|).

    As s ≤ ⅓, seven terms of artanh's series give all digits.
    """
    e = torch.exp(-a.abs())
    s = e / (2 + e)
    series = torch.full_like(s, 2 / 13)
    for k in (11, 9, 7, 5, 3, 1):
        series = series * s * s + 2 / k
    return a.clamp(min=0) + s * series


@functools.cache
def simplified() -> Any:
    """A pass over inductor's graphs: `log1p_exp`, and biases that are added by the next kernel.

    torch's own log1p is exact for all arguments, at five times the cost; its addmm writes the bias
    to memory first, row by row.
    """
    from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
    from torch._inductor.pattern_matcher import (
        MULTIPLE,
        CallFunction,
        KeywordArg,
        PatternMatcherPass,
        register_graph_pattern,
    )

    aten, patterns = torch.ops.aten, PatternMatcherPass()
    a, bias, x, w = map(KeywordArg, ("a", "bias", "x", "w"))

    def single(match: Any) -> bool:
        return all(node.meta["val"].dtype == torch.float32 for node in match.kwargs.values())

    @register_graph_pattern(
        CallFunction(aten.log1p, CallFunction(aten.exp, a, _users=MULTIPLE)),
        pass_dict=patterns,
        extra_check=single,
    )
    def _(match: Any, *, a: Any) -> None:
        match.replace_by_example(log1p_exp, [a])

    @register_graph_pattern(
        CallFunction(aten.addmm, bias, x, w), pass_dict=patterns, extra_check=single
    )
    def _(match: Any, *, bias: Any, x: Any, w: Any) -> None:
        match.replace_by_example(lambda bias, x, w: x @ w + bias, [bias, x, w])

    class Simplified(CustomGraphPass):
        def __call__(self, graph: Any) -> None:
            patterns.apply(graph)

        def uuid(self) -> bytes:  # part of the key of compiled graphs that are kept on disk
            return get_hash_for_files((__file__,))

    return Simplified()
