"""The options of a method as a table in JSON's terms, read from its signature, and the sentence for a value outside it.

The same table and sentence serve a call from Python, a job and the check of a config.
"""

import inspect
import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Number, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from deqbench.errors import UserError, did_you_mean

Kind = dict[str, Any]  # one type that an option takes, as JSON Schema says it: {"type": "integer", "minimum": 1}
NAMES = {bool: "boolean", int: "integer", float: "number", str: "string", NoneType: "null"}
WORDS = {"boolean": "true or false", "integer": "an integer", "number": "a number", "string": "a word", "null": "null"}
LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
INSIDE = dict(zip(LIMITS.values(), (operator.ge, operator.gt, operator.le, operator.lt), strict=True))


@dataclass(frozen=True)
class Card:
    """The options, needs and limits of a method: plain data."""

    options: dict[str, dict[str, Any]]  # by name: the kinds that it takes (`anyOf`), and its `default` where it has one
    hands: dict[str, str] = field(default_factory=dict)  # option that names a method -> the folder of that one's family
    open_ended: bool = False  # it takes options that its signature does not name, and hands them to nobody we know
    needs: dict[str, str] = field(default_factory=dict)  # package, or cuda -> why
    cannot: dict[str, str] = field(default_factory=dict)  # what may be asked of its family -> why it cannot do that


def card(function: Any, given: Iterable[str], hands: Mapping[str, str], module: Any) -> Card:
    """The card of a function or dataclass, whose module may state NEEDS and CANNOT.

    given: arguments that are no options. hands: options whose methods get those that `function` takes without naming.
    """
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in given]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    handed = {p.name: hands[p.name] for p in named if open_ended and p.name in hands}
    return Card(
        {p.name: {"anyOf": kinds(hints.get(p.name, Any))} | _default(p) for p in named},
        handed,
        open_ended and not handed,
        dict(getattr(module, "NEEDS", {})),
        dict(getattr(module, "CANNOT", {})),
    )


def _default(parameter: inspect.Parameter) -> dict[str, Any]:
    return {} if parameter.default is parameter.empty else {"default": parameter.default}


def kinds(annotation: Any) -> list[Kind]:
    """The kinds of values that an annotation allows, one for each member of a union; {} for whatever there is."""
    origin = get_origin(annotation)
    if annotation is Any:
        return [{}]
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        flat = [one for mark in marks for one in getattr(mark, "metadata", [mark])]  # pydantic's Field holds several
        limits = {LIMITS[key]: at for one in flat for key in LIMITS if (at := getattr(one, key, None)) is not None}
        return [kind | ({} if kind.get("type") in ("null", "boolean") else limits) for kind in kinds(inner)]
    if origin is Literal:
        return [{"enum": list(get_args(annotation))}]
    if origin in (Union, UnionType):
        return [kind for member in get_args(annotation) for kind in kinds(member)]
    if annotation in NAMES:
        return [{"type": NAMES[annotation]}]
    return [{"type": annotation.__name__}] if inspect.isclass(annotation) else [{}]


def wrong(options: Mapping[str, Any], of: Card, find: Callable[[str, str], Card]) -> str | None:
    """`option: expected ...; found ...` for the first option that neither the method takes nor one that it hands on to.

    find: the card of a method by the folder of its family and its name. UserError there: no such method.
    """
    known, hands, open_ended = of.options, dict(of.hands), of.open_ended
    while hands:
        option, folder = hands.popitem()
        chosen = options.get(option, known[option].get("default"))
        if not isinstance(chosen, str):
            continue  # no name: refused below
        try:
            inner = find(folder, chosen)
        except UserError as error:
            return str(error)
        known, hands, open_ended = {**inner.options, **known}, {**inner.hands, **hands}, open_ended or inner.open_ended
    for name, value in options.items():
        if name not in known and not open_ended:
            words = f"expected one of {', '.join(sorted(known))}" if known else "expected none"
            return f"{name}: {words}; found an unknown option{did_you_mean(name, known)}"
        if name in known and not any(_fits(kind, value) for kind in known[name]["anyOf"]):
            return f"{name}: {expected(known[name]['anyOf'])}; found {shown(value)}{_nearest(known[name], value)}"
    lacking = [name for name, option in of.options.items() if "default" not in option and name not in options]
    return f"{lacking[0]}: {expected(known[lacking[0]]['anyOf'])}; found none" if lacking else None


def _fits(kind: Kind, value: Any) -> bool:
    if not kind:
        return True
    if "enum" in kind:
        truth = isinstance(value, bool)
        known = [choice for choice in kind["enum"] if isinstance(choice, bool) == truth]
        return isinstance(value, (str, Number)) and value in known
    name, number = kind["type"], isinstance(value, Number) and not isinstance(value, bool)
    if name in ("integer", "number"):
        return number and isinstance(value, Integral if name == "integer" else Real) and _inside(kind, value)
    for plain, other in NAMES.items():
        if name == other:
            return isinstance(value, plain)
    return any(ancestor.__name__ == name for ancestor in type(value).__mro__) and _all_inside(kind, value)


def _inside(kind: Kind, value: Any) -> bool:
    """Whether a number is finite and within the limits of a kind."""
    finite = isinstance(value, Integral) or math.isfinite(value)
    return finite and all(holds(value, kind[limit]) for limit, holds in INSIDE.items() if limit in kind)


def _all_inside(kind: Kind, values: Any) -> bool:
    """The same of each value of a tensor; True of what holds no numbers."""
    flat = values.flatten().tolist() if hasattr(values, "flatten") else []
    return all(_inside(kind, value) for value in flat)


def expected(of: Iterable[Kind]) -> str:
    """`expected an integer in [1, 10] or null`."""
    return "expected " + " or ".join(_words(kind) for kind in of)


def _words(kind: Kind) -> str:
    if "enum" in kind:
        return "one of " + ", ".join(map(str, kind["enum"]))
    name = kind.get("type", "a value")
    ends = (kind.get(limit) for limit in LIMITS.values())
    low, above, high, below = (f"{end:g}" if isinstance(end, float) else end for end in ends)
    left = f"[{low}" if low is not None else f"({above}" if above is not None else "(-inf"
    right = f"{high}]" if high is not None else f"{below})" if below is not None else "inf)"
    return WORDS.get(name, f"a {name}") + (f" in {left}, {right}" if kind.keys() & INSIDE.keys() else "")


def shown(value: Any) -> str:
    """A value as JSON writes it, of 80 characters at most."""
    plain = value.item() if isinstance(value, Number) and hasattr(value, "item") else value
    text = json.dumps(plain, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _nearest(option: Mapping[str, Any], value: Any) -> str:
    choices = [str(choice) for kind in option["anyOf"] for choice in kind.get("enum", ())]
    return did_you_mean(str(value), choices) if choices else ""
