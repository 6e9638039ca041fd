"""echo-python: the Python implementation of EchoService, and the living template of a Python service."""
