"""The model: a verified ONNX Runtime session, what its graph says, and what its outputs mean.

Knows ONNX and ONNX Runtime; knows neither Ray nor the report.
"""
