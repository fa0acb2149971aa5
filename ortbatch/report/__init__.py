"""The report: pure functions from merged values and decoded JSON. Knows neither model, data, ONNX Runtime nor Ray."""
