"""From Parquet files to arrays: where files are, how they are cut into shards, what their columns mean to the model.

Knows Arrow and Parquet; knows neither ONNX Runtime, Ray nor metrics.
"""
