"""What all models of keys in a campaign file have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Validators take longer to build than most files to read: one is built when it is first used, with those inside.

    For the same reason a default is made by `model_construct`, which needs no validator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
