"""Batch evaluation and scoring of ONNX models over labelled Parquet, on Ray.

    import ortbatch
    report = ortbatch.run("jobs/digits/job.yaml")
    report.status, report.quality["accuracy"].value, report.confusion_matrix

Names are loaded when they are first used: importing `ortbatch` loads neither ray, onnxruntime, scikit-learn nor torch.
"""

from __future__ import annotations

__version__ = "0.1.0"
