"""A folder of methods: one module a method, each with a function of the same name."""

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from deqbench.config.methods import modules
from deqbench.errors import UserError, did_you_mean, unknown


@dataclass(frozen=True)
class Registry:
    """The methods in a folder of the package; a module may say REQUIRES = "package", an optional extra."""

    kind: str  # what errors call them: sampler
    function: str  # what every module defines: sample
    folder: str  # relative to the package: diffusion/samplers

    def names(self) -> tuple[str, ...]:
        """Names of the methods, sorted."""
        return modules(self.folder)

    def named(self, name: str) -> Callable[..., Any]:
        """The function of a method. UserError: there is none of that name."""
        if name not in self.names():
            raise unknown(self.kind, name, self.names())
        module = importlib.import_module(f"deqbench.{self.folder.replace('/', '.')}.{name.replace('-', '_')}")
        return getattr(module, self.function)

    def about(self, name: str, constant: str, default: Any) -> Any:
        """A constant of a method's module, such as REQUIRES. UserError: there is no method of that name."""
        return getattr(inspect.getmodule(self.named(name)), constant, default)

    def missing(self, name: str) -> str | None:
        """The extra that a method needs and that is not installed, or None. UserError: no method of that name."""
        extra = self.about(name, "REQUIRES", None)
        return extra if extra is not None and importlib.util.find_spec(extra) is None else None

    def call(self, name: str, options: dict[str, Any], *args: Any, **given: Any) -> Any:
        """What a method returns for the arguments and for options, its own keyword-only settings.

        UserError: unknown method, an option it does not know or take, or an extra that is not installed.
        """
        function = self.named(name)
        if extra := self.missing(name):
            raise UserError(
                f"{self.kind} {name}: expected the package {extra}; found none "
                f"(install it: pip install 'deqbench[{extra}]')"
            )
        parameters = inspect.signature(function).parameters.values()
        known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in given]
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        for option in options:
            if option not in known and not open_ended:
                near = did_you_mean(option, known)
                words = ", ".join(known) or "none"
                raise UserError(f"{self.kind} {name}: unknown option '{option}'; expected one of {words}{near}")
        try:
            made = function(*args, **given, **options)
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.kind} {name}: {error}") from error
        return self._named_errors(name, made) if inspect.isgenerator(made) else made

    def _named_errors(self, name: str, rounds: Iterator[Any]) -> Iterator[Any]:
        """The rounds; a setting that a generator refuses comes to light with the first of them only."""
        try:
            yield from rounds
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.kind} {name}: {error}") from error
