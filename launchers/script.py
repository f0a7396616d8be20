"""A job script from a template of the user's own: sandboxed, strict, and the same text whenever it is rendered."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dllm_run.specs.script import ScriptFault, ScriptProblem

from .template import prepare

Values = Mapping[str, Any]

_WRONG = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError, jinja2.TemplateError)
"""What a template can run into; anything else is a mistake of ours."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")


def fill_script(locator: str, text: str, values: Values) -> str:
    """The text that a template gives. Raises as jinja2 does; not for a template and values in which `script_problems` finds nothing."""
    environment = _environment()
    code = environment.compile(text, name=locator, filename=locator)
    return environment.template_class.from_code(environment, code, environment.make_globals(None)).render(values)


def script_problems(locator: str, text: str, values: Values, given: Mapping[str, str]) -> list[ScriptProblem]:
    """Everything that is wrong with a template under these values; `given`: names that it must read, and what is lost if it does not."""
    try:
        tree = _environment().parse(text, name=locator, filename=locator)
        found = [*_foreign(locator, tree), *_undefined(locator, tree, tuple(values)), *_unread(locator, tree, given)]
    except jinja2.TemplateSyntaxError as error:
        return [_syntax(locator, error)]
    except RecursionError:
        return [ScriptProblem(fault=ScriptFault.SYNTAX, locator=locator, message="the template is nested too deeply")]
    return found or list(_rendering(locator, text, values))


def _environment() -> ImmutableSandboxedEnvironment:
    environment = prepare(ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False))
    # A script is the same bytes whenever it is rendered.
    del environment.globals["lipsum"], environment.filters["random"]
    return environment


def _foreign(locator: str, tree: nodes.Template) -> Iterator[ScriptProblem]:
    for node in tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        word = type(node).__name__.removeprefix("From").lower()
        yield ScriptProblem(
            fault=ScriptFault.SYNTAX, locator=locator, line=node.lineno, message=f"`{word}` reads another file, and a script is one file"
        )


def _undefined(locator: str, tree: nodes.Template, known: tuple[str, ...]) -> Iterator[ScriptProblem]:
    unknown = meta.find_undeclared_variables(tree) - set(known)
    seen: set[tuple[str, int]] = set()
    for node in tree.find_all(nodes.Name):
        place = (node.name, node.lineno)
        if node.name in unknown and node.ctx == "load" and place not in seen:
            seen.add(place)
            message = f"{node.name!r} is not among the names that a script gets"
            yield ScriptProblem(
                fault=ScriptFault.UNDEFINED, locator=locator, line=node.lineno, message=message, name=node.name, known=tuple(sorted(known))
            )


def _unread(locator: str, tree: nodes.Template, given: Mapping[str, str]) -> Iterator[ScriptProblem]:
    read = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "load"}
    for name, lost in given.items():
        if name not in read:
            yield ScriptProblem(
                fault=ScriptFault.UNREAD,
                locator=locator,
                message=f"the script never reads `{name}`, so that {lost}",
                label=f"read `{name}`",
            )


def _rendering(locator: str, text: str, values: Values) -> Iterator[ScriptProblem]:
    try:
        filled = fill_script(locator, text, values)
    except jinja2.TemplateSyntaxError as error:
        yield _syntax(locator, error)
    except SecurityError as error:
        yield _raised(ScriptFault.UNSAFE, locator, error, f"a script may not do this: {error}".rstrip("."))
    except jinja2.UndefinedError as error:
        yield _raised(ScriptFault.UNDEFINED, locator, error, str(error))
    except _WRONG as error:
        yield _raised(ScriptFault.FAILS, locator, error, f"the script cannot be filled in: {type(error).__name__}: {error}")
    else:
        if _ADDRESS.search(filled) is not None:
            message = "the script would hold the address of an object, which is another one each time"
            yield ScriptProblem(
                fault=ScriptFault.FAILS, locator=locator, message=message, label="print texts and numbers; `| join`, `| list`"
            )
        if not filled.startswith("#!"):
            message = "the script does not begin with `#!`, so that sbatch refuses it"
            yield ScriptProblem(fault=ScriptFault.FAILS, locator=locator, message=message, label="such as #!/usr/bin/env bash")


def _syntax(locator: str, error: jinja2.TemplateSyntaxError) -> ScriptProblem:
    said = (error.message or "this is no template").rstrip(".")
    return ScriptProblem(fault=ScriptFault.SYNTAX, locator=locator, line=error.lineno, message=said[0].lower() + said[1:])


def _raised(fault: ScriptFault, locator: str, error: BaseException, message: str) -> ScriptProblem:
    return ScriptProblem(fault=fault, locator=locator, line=_line(error, locator), message=message)


def _line(error: BaseException, locator: str) -> int:
    """The line of the template that an error came from: jinja2 writes it into the traceback."""
    line, step = 1, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == locator:
            line = step.tb_lineno
        step = step.tb_next
    return line
