"""JSON Schemas of what commands print with --json, made of the table `schemas.txt`.

The files in docs/schemas are made by `python -m runner.cli.schemas docs/schemas`.
"""

from __future__ import annotations

from parsers import json_text
from parsers.paths import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    Json = dict[str, Any]

_SIMPLE: Mapping[str, Json] = {
    **{
        name: {"type": kind}
        for name, kind in (
            ("str", "string"),
            ("int", "integer"),
            ("number", "number"),
            ("bool", "boolean"),
            ("null", "null"),
        )
    },
    "any": {},
    "time": {"type": "string", "format": "date-time"},
}


def schemas() -> Iterator[tuple[str, Json]]:
    """Yield the kinds of the table, each with its JSON Schema."""
    objects = dict(_objects())
    for kind, schema in objects.items():
        name, slash, _ = kind.partition("/")
        if slash:
            full = f"codex-runner/{kind}"
            yield (
                name,
                {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "title": full,
                    **schema,
                    "properties": {"schema": {"const": full}, **schema["properties"]},
                    "required": ["schema", *schema["required"]],
                    "$defs": dict(sorted(_parts(schema, objects))),
                },
            )


def _objects() -> Iterator[tuple[str, Json]]:
    """Yield the objects of the table, each with its name."""
    schema: Json = {}
    table = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
    for line in table.splitlines():
        words, _, told = line.strip().partition("  ")
        about = {"description": told} if told else {}
        if not words or line.startswith("#"):
            continue
        if line == line.lstrip():
            schema = {"type": "object", **about, "properties": {}, "required": []}
            schema["additionalProperties"] = False
            yield words, schema
        elif words == "...":
            schema["additionalProperties"] = True
        else:
            name, _, kind = words.partition(": ")
            if not name.endswith("?"):
                schema["required"].append(name)
            schema["properties"][name.removesuffix("?")] = {**_type(kind), **about}


def _type(text: str) -> Json:
    kinds = text.split(" | ")
    if kinds[1:] and "[" not in text and "{" not in text:
        found = [_type(each) for each in kinds]
        if all(each.keys() == {"type"} for each in found):
            return {"type": [each["type"] for each in found]}
        return {"anyOf": found}
    if text.endswith(("] | null", "} | null")):
        return {"anyOf": [_type(text.removesuffix(" | null")), _SIMPLE["null"]]}
    if text.startswith("["):
        return {"type": "array", "items": _type(text[1:-1])}
    if text.startswith("{"):
        return {"type": "object", "additionalProperties": _type(text[1:-1])}
    return _SIMPLE.get(text, {"$ref": f"#/$defs/{text}"})


def _parts(schema: Json, objects: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    """Yield the parts that an object refers to, and theirs."""
    for name, part in objects.items():
        if f'"#/$defs/{name}"' in json_text.dumps(schema):
            yield name, part
            yield from _parts(part, objects)


def main(directory: Path) -> None:
    """Write the schemas into a directory, one file each."""
    for name, schema in schemas():
        text = json_text.dumps(schema, indent=2)
        (directory / f"{name}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    import sys

    main(Path(sys.argv[1]))
