"""Families of methods: a folder each, a file a method; methods from outside the package are equal to ours.

A folder declares its family once, `FAMILY = Family("sampler", "sample", "diffusion/samplers", ...)`. A method's options
are its keyword-only arguments, with the types and bounds of its signature (deqbench.bounds). Its module may state, each
with the reason as half a sentence,

    NEEDS = {"torchdeq": "its solvers are that library's own"}  # packages, or cuda
    CANNOT = {"eta > 0": "it adds no noise"}  # of what its family's methods may be asked for

A method from outside is named `package.module:function`, or by an entry point in the group `deqbench.<folder>`, with
dots for slashes: `deqbench.diffusion.samplers`.
"""

import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from numbers import Number
from types import ModuleType
from typing import Any

from deqbench import options as table
from deqbench.errors import UserError, unknown
from deqbench.options import Card


@dataclass(frozen=True)
class Family:
    """The methods in a folder of the package."""

    kind: str  # what errors call one: sampler
    attribute: str  # what every module that is a method defines: sample
    folder: str  # relative to the package: diffusion/samplers
    given: tuple[str, ...] = ()  # keyword arguments that are no options: on_round
    hands: dict[str, str] = field(default_factory=dict)  # option that names another method -> that one's folder
    asks: dict[str, Callable[..., bool]] = field(default_factory=dict)  # eta > 0 -> whether arguments ask for that

    def names(self) -> tuple[str, ...]:
        """Names of the methods, sorted; those of entry points too."""
        return tuple(sorted({*self.own(), *entry_points(self.folder)}))

    def own(self) -> tuple[str, ...]:
        """Names of the methods in the folder, sorted. All its modules are imported."""
        stems = (info.name for info in pkgutil.iter_modules(importlib.import_module(_dotted(self.folder)).__path__))
        return tuple(sorted(stem.replace("_", "-") for stem in stems if self._function(stem) is not None))

    def method(self, name: str) -> "Method":
        """The method of a name. UserError: there is none, or none that can be imported."""
        function = None if {"_", ".", ":"} & set(name) else self._function(name.replace("-", "_"))
        if function is None:
            reference = entry_points(self.folder).get(name, name)
            if ":" not in reference:
                raise unknown(self.kind, name, self.names())
            function = _imported(self.kind, reference)
        return Method(self, name, function)

    def _function(self, stem: str) -> Callable[..., Any] | None:
        """The method that a module of the folder defines; None: it defines none, or there is no such module.

        UserError: the module cannot be imported.
        """
        name = f"{_dotted(self.folder)}.{stem}"
        try:
            return getattr(importlib.import_module(name), self.attribute, None)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name == name:
                return None
            words = f"{type(error).__name__}: {error}"
            raise UserError(f"{name}: expected a module that can be imported; found {words}") from error

    def call(self, name: str, options: dict[str, Any], *args: Any, **given: Any) -> Any:
        """The return of a method for the arguments and for options, its own keyword-only settings.

        UserError: unknown method, an option that it does not take, or something that it needs or cannot do.
        """
        method = self.method(name)
        method.ready()
        if wrong := method.wrong(options):
            raise UserError(f"{self.kind} {name}: {wrong}")
        for ability, asked in self.asks.items():
            if ability in method.card.cannot and asked(*args, **given):
                method.refuse(ability)
        plain = {key: value.item() if _numpy(value) else value for key, value in options.items()}
        try:
            made = method.function(*args, **given, **plain)
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.kind} {name}: {error}") from error
        return self._named_errors(name, made) if inspect.isgenerator(made) else made

    def _named_errors(self, name: str, rounds: Iterator[Any]) -> Iterator[Any]:
        """The rounds; what a generator refuses comes to light with the first of them only."""
        try:
            yield from rounds
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.kind} {name}: {error}") from error


@dataclass(frozen=True)
class Method:
    """A method of a family."""

    family: Family
    name: str
    function: Callable[..., Any]

    @property
    def card(self) -> Card:
        """The options that it takes, its needs, and all that it cannot do."""
        return _card(self.function, self.family.given, tuple(self.family.hands.items()))

    def wrong(self, options: dict[str, Any]) -> str | None:
        """`option: expected ...; found ...` for the first option that it would refuse."""
        return table.wrong(options, self.card, lambda folder, name: family(folder).method(name).card)

    def ready(self) -> None:
        """UserError: a package or device that it needs is not here."""
        for need, reason in missing(self.card).items():
            what = "a CUDA device" if need == "cuda" else f"the package {need} (pip install {need})"
            raise UserError(f"{self.family.kind} {self.name}: expected {what}, since {reason}; found none")

    def refuse(self, ability: str) -> None:
        """UserError, with the reason, where it cannot do what it is asked for."""
        if ability in self.card.cannot:
            raise UserError(f"{self.family.kind} {self.name}: {refusal(self.card, ability)}")


def refusal(card: Card, ability: str) -> str:
    """Why a method does not do what it is asked for."""
    return f"expected no {ability}, since {card.cannot[ability]}; found it asked for"


def missing(card: Card) -> dict[str, str]:
    """The needs of a method that this machine lacks, each with the reason."""
    return {need: reason for need, reason in card.needs.items() if not _present(need)}


def _present(need: str) -> bool:
    if need == "cuda":
        return importlib.import_module("torch").cuda.is_available()
    return importlib.util.find_spec(need) is not None


def family(folder: str) -> Family:
    """The family that a folder of the package declares."""
    return importlib.import_module(_dotted(folder)).FAMILY


def hold(settings: Any) -> None:
    """ValueError for a field of a dataclass outside the type and bounds that it is declared with."""
    of = _card(settings.__class__, (), ())
    if wrong := table.wrong({name: getattr(settings, name) for name in of.options}, of, _nobody):
        raise ValueError(wrong)


def _nobody(folder: str, name: str) -> Card:
    raise LookupError(f"{folder}: {name}")


@cache
def entry_points(folder: str) -> dict[str, str]:
    """`module:function` by name, of the methods that installed packages add to a family."""
    return {point.name: point.value for point in importlib.metadata.entry_points(group=_dotted(folder))}


@cache
def added() -> dict[str, str]:
    """`module:function` by name, of the methods that installed packages add to any family."""
    points = importlib.metadata.entry_points()
    ours = (points.select(group=group) for group in points.groups if group.startswith("deqbench."))
    return {point.name: point.value for group in ours for point in group}


@cache
def _card(function: Callable[..., Any], given: tuple[str, ...], hands: tuple[tuple[str, str], ...]) -> Card:
    return table.card(function, given, dict(hands), sys.modules[function.__module__])


def _imported(kind: str, reference: str) -> Any:
    """The object that `package.module:function` names."""
    module, _, attribute = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        words = "expected package.module:function of something that can be imported"
        raise UserError(f"{kind}: {words}; found '{reference}' ({error})") from error


def _numpy(value: Any) -> bool:
    return isinstance(value, Number) and hasattr(value, "item")


def _dotted(folder: str) -> str:
    return f"deqbench.{folder.replace('/', '.')}"


def families() -> list[Family]:
    """All families of the package: its packages are imported."""
    package = importlib.import_module("deqbench")
    walked = pkgutil.walk_packages(package.__path__, "deqbench.")
    modules: list[ModuleType] = [importlib.import_module(info.name) for info in walked if info.ispkg]
    return [family for module in modules if isinstance(family := getattr(module, "FAMILY", None), Family)]
