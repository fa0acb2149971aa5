"""What an experiment tracker is told of a run: pure functions of its report, and one module that tells them to MLflow.

A tracker is told after the report is written. Whatever becomes of that changes neither the report nor the verdict.
"""
