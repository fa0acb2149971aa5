"""The digits job on an object store of this machine, from upload to report; nothing of the store stays.

    python jobs/remote/demo.py [--digits DIR] [--out DIR]

A SeaweedFS (of the extra `test`) is started with an empty bucket, model and data are uploaded, `ortbatch run` is called
with keys in its environment, and report.json and report.html are fetched before the server ends.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

# The script is run by its path, so that the store of the tests is not importable by itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.s3 import BUCKET, KEY, S3, SECRET, running_s3

HERE = Path(__file__).resolve().parent
FETCHED = ("report.json", "report.html")


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the digits job on an object store of this machine.")
    parser.add_argument("--digits", type=Path, default=HERE.parent / "digits", help="the prepared digits job")
    parser.add_argument("--out", type=Path, default=HERE / "runs", help="where the report is put")
    options = parser.parse_args()
    print("starting a SeaweedFS on 127.0.0.1", flush=True)
    with running_s3() as s3:
        upload(s3, options.digits)
        command = [sys.executable, "-m", "ortbatch", "run", str(HERE / "job.yaml"), "--var", f"bucket={BUCKET}"]
        code = subprocess.run(command, env={**os.environ, **login(s3)}, check=False).returncode
        if code in (0, 1, 3, 4):
            fetch(s3, options.out)
    return code


def upload(s3: S3, digits: Path) -> None:
    s3.upload(digits / "data" / "test", "digits/test")
    with s3.filesystem().open_output_stream(f"{BUCKET}/digits/model.onnx") as stream:
        stream.write((digits / "model.onnx").read_bytes())
    for name, content in s3.objects("digits").items():
        print(f"  s3://{BUCKET}/digits/{name}  {len(content):,} bytes", flush=True)


def login(s3: S3) -> dict[str, str]:
    """Where the store is and who may use it, as Amazon's tools are told."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3.port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def fetch(s3: S3, out: Path) -> None:
    """Copy what is to be looked at from the newest run, and say what the bucket holds."""
    found = s3.objects("runs")
    run = max(name.rpartition("/")[0] for name in found if name.endswith("/report.json"))
    for name, content in found.items():
        print(f"  s3://{BUCKET}/runs/{name}  {len(content):,} bytes")
    out.mkdir(parents=True, exist_ok=True)
    for name in FETCHED:
        (out / name).write_bytes(found[f"{run}/{name}"])
    print(f"the report was s3://{BUCKET}/runs/{run}/report.json; a copy is {out / 'report.html'}")


if __name__ == "__main__":
    sys.exit(main())
