"""Make the RayJob of a day from a template, wait until it has ended, and end as ortbatch did.

    python create_rayjob.py rayjob.yaml --date yesterday

The name ends in the day, so a day has one RayJob however often this runs: one that is there already is waited for. Runs
in a pod, with the rights of its service account. Knows nothing of Ray or of what is evaluated. Exit codes are those of
ortbatch (5 for a RayJob that ended without one), and 75 if the Kubernetes API could not be asked: then run it again.
"""

from __future__ import annotations

import argparse
import json
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PLACE_OF_THE_DAY = "1970-01-01"
FAILURE, ASK_AGAIN = 5, 75
PATIENCE = 20
"""Questions in a row that may fail: ten minutes, more than an API server takes to be replaced."""
# What comes after it are lines of the log, in which anything may stand.
ENDED_WITH = re.compile(r"Job entrypoint command failed with exit code (\d+)")


class UnansweredError(Exception):
    """The Kubernetes API gave no usable answer."""


@dataclass(frozen=True)
class Api:
    """Where the Kubernetes API is, and the folder of the service account: token, ca.crt and namespace."""

    server: str
    account: Path

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the API says to a GET, or to a POST of this body."""
        # Read each time: it is replaced every hour.
        token = (self.account / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.server}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30, context=self._trusted()) as answer:
            said: dict[str, Any] = json.load(answer)
        return said

    def _trusted(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=str(self.account / "ca.crt")) if self._is_tls else None

    @property
    def _is_tls(self) -> bool:
        return self.server.startswith("https:")

    @property
    def rayjobs(self) -> str:
        """The path of all RayJobs of the namespace."""
        namespace = (self.account / "namespace").read_text().strip()
        return f"/apis/ray.io/v1/namespaces/{namespace}/rayjobs"


def main() -> int:
    arguments = _parse()
    api = Api(arguments.server, arguments.account)
    rayjob = rayjob_of(YAML(typ="safe").load(arguments.template.read_text()), arguments.date)
    if arguments.owner_uid:
        rayjob["metadata"]["ownerReferences"] = [owner(arguments.owner_name, arguments.owner_uid)]
    try:
        create(api, rayjob)
        return follow(api, rayjob["metadata"]["name"], arguments.seconds)
    except UnansweredError as error:
        print(error, file=sys.stderr)
        return ASK_AGAIN


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the RayJob of a day, wait for it, end as ortbatch did.")
    parser.add_argument("template", type=Path)
    parser.add_argument("--date", type=day, default="yesterday", help="YYYY-MM-DD, or yesterday (UTC)")
    parser.add_argument("--owner-name", default="", help="Job that the RayJob is removed with")
    parser.add_argument("--owner-uid", default="")
    parser.add_argument("--seconds", type=float, default=30.0, help="between two questions")
    parser.add_argument("--server", default="https://kubernetes.default.svc")
    parser.add_argument("--account", type=Path, default=Path("/var/run/secrets/kubernetes.io/serviceaccount"))
    return parser.parse_args()


def day(text: str) -> date:
    return datetime.now(UTC).date() - timedelta(days=1) if text == "yesterday" else date.fromisoformat(text)


def rayjob_of(template: dict[str, Any], of: date) -> dict[str, Any]:
    """The template with the day at the end of its name and where its entrypoint keeps a place for it."""
    name, entrypoint = template["metadata"]["name"], template["spec"]["entrypoint"]
    if PLACE_OF_THE_DAY not in entrypoint:
        raise SystemExit(f"the entrypoint has no place for the day: expected {PLACE_OF_THE_DAY} in {entrypoint!r}")
    return {
        **template,
        "metadata": {**template["metadata"], "name": f"{name}-{of}"},
        "spec": {**template["spec"], "entrypoint": entrypoint.replace(PLACE_OF_THE_DAY, str(of))},
    }


def owner(name: str, uid: str) -> dict[str, Any]:
    """The RayJob goes when the Job goes that made it; the CronJob keeps the last ones."""
    return {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}


def create(api: Api, rayjob: dict[str, Any]) -> None:
    """Make it, unless it is there."""
    name = rayjob["metadata"]["name"]
    try:
        api.ask(api.rayjobs, rayjob)
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise UnansweredError(f"RayJob {name} was not made: HTTP {error.code} {error.reason}") from None
        print(f"RayJob {name} is there already", flush=True)
    except (OSError, ValueError) as error:
        raise UnansweredError(f"RayJob {name} was not made: {error}") from None
    else:
        print(f"RayJob {name} made", flush=True)


def follow(api: Api, name: str, seconds: float) -> int:
    """Wait until it has ended; its exit code."""
    failed = 0
    while True:
        try:
            status = api.ask(f"{api.rayjobs}/{name}").get("status", {})
            failed = 0
        except (OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code == 404:
                print(f"RayJob {name} is gone: somebody removed it", file=sys.stderr)
                return FAILURE
            failed += 1
            if failed >= PATIENCE:
                raise UnansweredError(
                    f"RayJob {name} could not be looked at {failed} times in a row: {error}"
                ) from None
            status = {}
        if status.get("jobDeploymentStatus") in ("Complete", "Failed"):
            return exit_code(name, status)
        time.sleep(seconds)


def exit_code(name: str, status: dict[str, Any]) -> int:
    """ortbatch's, as far as the status tells it."""
    ended = ENDED_WITH.match(status.get("message") or "")
    code = 0 if status.get("jobStatus") == "SUCCEEDED" else int(ended[1]) if ended else FAILURE
    why = status.get("reason") or status.get("jobStatus") or "no reason given"
    print(f"RayJob {name} ended: {status['jobDeploymentStatus']} ({why}), exit code {code}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
