"""Runs the service: `python -m services.echo`."""

from services.echo.config import EchoConfig
from services.echo.error import to_status
from services.echo.handler import AREA, EchoHandler
from uait.echo.v1.echo_pb2_grpc import add_EchoServiceServicer_to_server
from uait_kit import Kit, Server, Service, run


async def build(kit: Kit, config: EchoConfig) -> Server:
    """Builds the handler and serves it."""
    handler = EchoHandler(kit, remembered=config.remembered)
    kit.consume(AREA, handler.on_event)
    return await kit.serve([Service(add_EchoServiceServicer_to_server, handler, errors=to_status)])


if __name__ == "__main__":
    run(EchoConfig.read, build)
