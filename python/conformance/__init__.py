"""The Python client of the conformance suite, on the generated grpc.aio stubs; `python -m conformance --help`."""
