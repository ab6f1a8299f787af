"""JSON Patch (RFC 6902) on a resource."""

from __future__ import annotations

import copy
from typing import Any

from openslot_connectors.fhir.sandbox.wire import Doc, Problem

__all__ = ["apply"]


def apply(document: Doc, operations: Any) -> Doc:
    """The document after all operations, the given one untouched.

    Raises Problem: 409 where a `test` does not hold, 400 or 422 for what cannot be applied.
    """
    if not isinstance(operations, list) or not operations:
        raise Problem(400, "structure", "a JSON Patch is a list of operations")
    result: Any = copy.deepcopy(document)
    for operation in operations:
        if not isinstance(operation, dict):
            raise Problem(400, "structure", "a JSON Patch is a list of operations")
        result = _one(result, operation)
    if not isinstance(result, dict):
        raise Problem(422, "invariant", "a patch cannot replace the whole resource")
    return result


def _one(document: Any, operation: Doc) -> Any:
    op = operation.get("op")
    path = _pointer(operation.get("path"))
    if op in {"add", "replace", "test"} and "value" not in operation:
        raise Problem(400, "required", f"the operation {op} needs a value")
    if op == "test":
        if not _same(_get(document, path), operation["value"]):
            raise Problem(409, "conflict", "a test of the patch does not hold")
        return document
    if op == "add":
        return _add(document, path, operation["value"])
    if op == "replace":
        _get(document, path)
        return _add(_remove(document, path), path, operation["value"])
    if op == "remove":
        return _remove(document, path)
    if op in {"move", "copy"}:
        source = _pointer(operation.get("from"))
        value = copy.deepcopy(_get(document, source))
        if op == "move":
            if path[: len(source)] == source and path != source:
                raise Problem(422, "invariant", "a value cannot be moved into itself")
            document = _remove(document, source)
        return _add(document, path, value)
    raise Problem(400, "value", "a JSON Patch operation is add, remove, replace, move, copy, test")


def _pointer(path: object) -> list[str]:
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise Problem(400, "value", "a JSON Patch path is a JSON Pointer")
    return [p.replace("~1", "/").replace("~0", "~") for p in path.split("/")[1:]]


def _get(document: Any, path: list[str]) -> Any:
    here = document
    for part in path:
        if isinstance(here, dict) and part in here:
            here = here[part]
        elif isinstance(here, list):
            here = here[_index(part, len(here) - 1)]
        else:
            raise Problem(422, "not-found", "a path of the patch leads nowhere")
    return here


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    last = path[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise Problem(422, "not-found", "a path of the patch leads nowhere")
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    _get(document, path)
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        del parent[_index(path[-1], len(parent) - 1)]
    else:
        del parent[path[-1]]
    return document


def _index(part: str, largest: int) -> int:
    if not (part.isascii() and part.isdigit()) or (len(part) > 1 and part[0] == "0"):
        raise Problem(422, "not-found", "a path of the patch leads nowhere")
    if int(part) > largest:
        raise Problem(422, "not-found", "a path of the patch leads nowhere")
    return int(part)


def _same(a: Any, b: Any) -> bool:
    """Equality of JSON, in which true is not 1."""
    if isinstance(a, bool) is not isinstance(b, bool):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
