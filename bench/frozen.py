"""What records, settings and messages have in common. Imports pydantic only."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value that cannot change and knows no other fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        allow_inf_nan=False,
        json_schema_serialization_defaults_required=True,  # every field is written, the defaults too
    )
