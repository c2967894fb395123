"""What records, settings and messages have in common. Imports pydantic only."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import core_schema


class Frozen(BaseModel):
    """A value that cannot change and knows no other fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        allow_inf_nan=False,
        json_schema_serialization_defaults_required=True,  # every field is written, the defaults too
    )


class Rounded:
    """Round a float where a record is made; what is read was rounded when it was written, and is read fast."""

    def __init__(self, digits: Callable[[float], float]) -> None:
        self._digits = digits

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        number = handler(source)
        rounded = core_schema.no_info_after_validator_function(self._digits, number)
        return core_schema.json_or_python_schema(json_schema=number, python_schema=rounded)
