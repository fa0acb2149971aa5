"""A job file written by looking at a model and at data: what is there, what fits, and what nobody but people can know.

    draft = draft_job("model.onnx", ["data/test"], Path("job.yaml"))
    draft.text, draft.notes

Nothing is believed that was not tried: a draft is a job that passed the same preflight as `ortbatch check`.
"""

from __future__ import annotations

from ortbatch.draft.attempts import Draft, Hints, draft_job

__all__ = ["Draft", "Hints", "draft_job"]
