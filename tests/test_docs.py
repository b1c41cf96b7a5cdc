"""The pages as a reader uses them: what the copy button gives runs, and the interface is whole.

The snippets themselves are run by docs/conftest.py.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lowerbound as lb

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
CONF = ast.parse((DOCS / "conf.py").read_text())


def copied(block: str) -> str:
    """What sphinx-copybutton gives of a block with prompts."""
    prompt = next(
        ast.literal_eval(node.value)
        for node in CONF.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "copybutton_prompt_text"
    )
    lines = block.splitlines()
    prompted = [re.sub(f"^({prompt})", "", line) for line in lines if re.match(prompt, line)]
    return "\n".join(prompted or lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_copied_page_is_a_program_of_public_names(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    program = ast.parse("\n".join(map(copied, blocks)))
    names = {
        node.attr
        for node in ast.walk(program)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "lb"
    }
    assert names <= set(lb.__all__)


API = (DOCS / "api.md").read_text()
DIRECTIVE = re.compile(r"^\.\. auto(module|class|function):: (\S+)\n((?:   :.*\n)*)", re.MULTILINE)


def exported(module: types.ModuleType) -> list[str]:
    """The public names of a module: ``__all__``, or else what it defines without an underscore."""
    return getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


@functools.cache
def public() -> dict[str, Any]:
    """What a user can reach, by its name after ``lb.``."""
    found = {}
    for name in sorted(set(lb.__all__) - {"__version__"}):
        value = getattr(lb, name)
        if isinstance(value, types.ModuleType):
            found |= {f"{name}.{inner}": getattr(value, inner) for inner in exported(value)}
        else:
            found[name] = value
    return found


@functools.cache
def shown() -> dict[str, Any]:
    """What the directives of docs/api.md show, by its full name."""
    found = {}
    for kind, target, options in DIRECTIVE.findall(API):
        home, _, name = (target, "", "") if kind == "module" else target.rpartition(".")
        module = importlib.import_module(home)
        listed = {
            option: re.findall(r"\w+", names)
            for option, names in re.findall(r":([\w-]+): ?(.*)", options)
        }
        names = [name] if name else listed["members"] or exported(module)
        left_out = listed.get("exclude-members", [])
        found |= {f"{home}.{each}": getattr(module, each) for each in {*names} - {*left_out}}
    return found


def test_the_interface_has_every_public_name():
    objects = list(shown().values())
    missing = [
        name
        for name, value in public().items()
        if not (
            any(value is each for each in objects)
            if isinstance(value, type | types.FunctionType)
            else f"`{name.rpartition('.')[2]}`" in API
        )
    ]
    assert not missing


def functions(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A function; or a class, if its arguments are its own, and its methods that override none."""
    if not isinstance(value, type):
        yield name, value
        return
    makers = ({"__init__", "__new__"} & {*vars(cls)} and cls for cls in value.__mro__)
    if next(filter(None, makers)).__module__.startswith("lowerbound"):
        yield name, value
    for method, member in vars(value).items():
        if (
            not method.startswith("_")
            and isinstance(member, types.FunctionType | classmethod | staticmethod)
            and not any(method in vars(cls) for cls in value.__mro__[1:])
        ):
            yield f"{name}.{method}", getattr(value, method)


def untold(function: Any) -> list[str]:
    """The parameters that a docstring does not speak of."""
    told = set(re.findall(r"\w+", inspect.getdoc(function) or ""))
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.items()
    return [name for name, p in parameters if p.kind not in kinds and name not in {*told, "self"}]


def test_every_argument_of_the_interface_is_told():
    interface = public() | shown()
    documented = [
        pair
        for name, value in interface.items()
        if isinstance(value, type | types.FunctionType)
        for pair in functions(name, value)
    ]
    assert len(documented) > 200  # the page was read
    missing = {name: left for name, function in documented if (left := untold(function))}
    assert not missing
