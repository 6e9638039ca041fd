"""Runs the service: `python -m services.dspy`."""

from services.dspy.config import DspyConfig
from services.dspy.error import to_status
from services.dspy.handler import DspyHandler
from uait.dspy.v1.dspy_pb2_grpc import add_DspyServiceServicer_to_server
from uait_kit import Kit, Server, Service, run


async def build(kit: Kit, config: DspyConfig) -> Server:
    """Builds the handler and serves it."""
    handler = DspyHandler(kit, evaluations_at_once=config.evaluations_at_once)
    return await kit.serve([Service(add_DspyServiceServicer_to_server, handler, errors=to_status)])


if __name__ == "__main__":
    run(DspyConfig.read, build)
