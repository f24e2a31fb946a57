"""A fault of a value in one sentence: `key: expected ...; found ...`."""

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from deqbench.config.strict import NAME
from deqbench.errors import UserError, did_you_mean


def checked(adapter: TypeAdapter[Any], values: Any, source: str) -> Any:
    """The values as the adapter makes them. UserError: one sentence: `source`, key, what was expected and found."""
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        raise UserError(f"{source}: {sentence(error.errors()[0], adapter, values)}") from error


def sentence(problem: Any, adapter: TypeAdapter[Any], values: Any) -> str:
    """One pydantic error in our words: `key: expected ...; found ...`."""
    loc, kind, context = problem["loc"], problem["type"], problem.get("ctx", {})
    key = _dotted(loc, values) or "the file"
    found = json.dumps(problem["input"], default=str)
    found = found if len(found) <= 80 else f"{found[:77]}..."
    if kind == "extra_forbidden":
        known = _keys_at(adapter.json_schema(by_alias=True), loc[:-1])
        return f"{key}: expected one of {', '.join(known)}; found an unknown key{did_you_mean(str(loc[-1]), known)}"
    if kind == "missing":
        return f"{key}: expected a value; found none"
    if kind == "value_error":
        message = str(context["error"])
        if message.startswith("@"):
            _, key, message = message.split("@", 2)
        return f"{key}: {message}"
    if kind == "literal_error":
        known = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        return f"{key}: expected one of {', '.join(known)}; found {found}{did_you_mean(str(problem['input']), known)}"
    if kind == "string_pattern_mismatch":
        form = context["pattern"]
        words = "small letters, digits and hyphens" if form == NAME else f"text of the form {form}"
        return f"{key}: expected {words}; found {found}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{key}: expected a section with keys; found {found}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = context["discriminator"].strip("'")
        known = [word.strip("'") for word in context.get("expected_tags", "").split(", ") if word]
        found = f"'{context['tag']}'{did_you_mean(context['tag'], known)}" if known else "none"
        key = f"{key}.{tag}" if loc else tag
        return f"{key}: expected {'one of ' + ', '.join(known) if known else 'a value'}; found {found}"
    if kind == "too_short":
        return f"{key}: expected at least {context['min_length']} entry; found {found}"
    words = problem["msg"].removeprefix("Input should be ").split(", ")[0]
    bound = words.startswith(("greater", "less"))
    return f"{key}: expected {'a number ' if bound else ''}{words}; found {found}"


def _dotted(loc: tuple[Any, ...], values: Any) -> str:
    """The key of a place as the file spells it: the tags of unions and lists that we made of one value have no key."""
    parts: list[Any] = []
    node = values
    for part in loc:
        if isinstance(node, dict) and (name := next((key for key in node if str(key) == str(part)), None)) is not None:
            parts, node = [*parts, name], node[name]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            parts, node = [*parts, part], node[part]
        elif isinstance(node, dict) and part is loc[-1] and part != "[key]":  # a key that the file lacks
            parts.append(part)
    return ".".join(map(str, parts))


def _keys_at(schema: dict[str, Any], loc: tuple[Any, ...]) -> list[str]:
    """The keys that the JSON schema knows at a place."""
    node = schema
    for part in (*loc, None):
        while "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        if part is None:
            break
        if "discriminator" in node and part in node["discriminator"]["mapping"]:
            node = {"$ref": node["discriminator"]["mapping"][part]}
        elif "properties" in node and part in node["properties"]:
            node = node["properties"][part]
        else:
            named = next(iter(node.get("patternProperties", {}).values()), None)
            node = named or node.get("items") or node.get("additionalProperties", {})
        for several in ("allOf", "anyOf"):  # anyOf: a section or nothing
            if isinstance(node, dict) and several in node:
                node = node[several][0]
    return sorted(node.get("properties", {}))
