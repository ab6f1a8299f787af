"""Values to JSON and back, and their JSON Schema. pydantic is imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["from_json", "json_schema", "to_json"]

T = TypeVar("T")


def _adapter(type_: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    if type_ not in _adapters:
        _adapters[type_] = TypeAdapter(type_)
    return _adapters[type_]


_adapters: dict[Any, TypeAdapter[Any]] = {}


def to_json(value: Any, type_: Any = None) -> str:
    """The value as JSON text; `type_` where the class alone does not say it (`Listing[Slot]`)."""
    text: bytes = _adapter(type_ or type(value)).dump_json(value)
    return text.decode()


def from_json(type_: type[T], text: str | bytes) -> T:
    """The value that `to_json` wrote.

    Raises ValueError with the place and the rule, never the offending value: it may be a patient's.
    """
    from pydantic import ValidationError

    try:
        value: T = _adapter(type_).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        path = ".".join(str(p) for p in first["loc"]) or "the document"
        raise ValueError(
            f"not a {getattr(type_, '__name__', type_)}: {path}: {first['msg']}"
        ) from None
    return value


def json_schema(type_: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a model type."""
    return _adapter(type_).json_schema()
