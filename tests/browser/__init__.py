"""Tests in a browser. A package, so that fixtures of that scope, and the event loop of Playwright, end with it."""
