"""A log that is followed: Ctrl+C is heard whenever it comes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from ortbatch.submit.jobs_api import JobsApi


class Client:
    """Ray's, of which somebody wants to leave at the moment at which a piece of the log comes."""

    async def tail_job_logs(self, name: str) -> AsyncIterator[str]:
        os.kill(os.getpid(), signal.SIGINT)
        yield f"first of {name}\n"
        for _ in range(20):
            await asyncio.sleep(0.01)
            yield "more\n"


def test_ctrl_c_is_heard_though_a_piece_comes_at_the_same_moment() -> None:
    api, shown = object.__new__(JobsApi), list[str]()
    api._client = Client()
    with pytest.raises(KeyboardInterrupt):
        api.tail("digits-1", shown.append)
    assert shown == []
