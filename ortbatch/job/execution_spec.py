"""The section `execution`: workers, their share of a machine, and shards. No metric depends on it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from ortbatch.job.part import Count, CountOrAuto, Part, SecondsOrAuto
from ortbatch.job.wording import got


def _gpus_or_auto(value: object) -> object:
    """Ray shares one GPU among workers, but gives whole ones to a worker that has several."""
    if value == "auto":
        return value
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (0.01 <= value <= 1 or value % 1 == 0 <= value)
    ):
        return value
    raise ValueError(f"expected a share of one GPU (0.01 to 1), a whole number of them, or `auto`, got {got(value)}")


GpusOrAuto = Annotated[Annotated[float, Field(ge=0)] | Literal["auto"], BeforeValidator(_gpus_or_auto)]


class ExecutionSpec(Part):
    """How the work is spread; no metric depends on it."""

    section: ClassVar[str] = "execution"

    workers: CountOrAuto = Field("auto", description="Worker processes, or `auto`: as many as there is room for.")
    max_workers: Count | None = Field(
        None, description="Most worker processes of `workers: auto`. Absent: the nodes and shards are the limit."
    )
    cpus_per_worker: CountOrAuto = Field("auto", description="CPU cores of a worker, or `auto`.")
    gpus_per_worker: GpusOrAuto = Field(
        "auto", description="GPUs of a worker, or its share of one; `auto`: 1 if the model's providers need one."
    )
    wait_for_workers_s: SecondsOrAuto = Field(
        "auto", description="Longest time without any worker before the run ends; `auto`: 30, or 600 for new machines."
    )
    shard_rows: CountOrAuto = Field(
        "auto", description="At most so many rows in a shard, rounded up to whole row groups; or `auto`."
    )
    shard_seconds: SecondsOrAuto = Field(
        "auto", description="Longest time that a shard may take before its worker is ended; or `auto`."
    )
    on_bad_shard: Literal["fail", "quarantine"] = Field(
        "fail", description="A shard that cannot be done ends the run, or is left out and counted as bad rows."
    )

    @model_validator(mode="after")
    def _one_number_of_workers(self) -> ExecutionSpec:
        if self.workers != "auto" and self.max_workers is not None:
            raise ValueError(
                f"`workers: {self.workers}` is a fixed number, `max_workers` the limit of `workers: auto`; take one out"
            )
        return self
