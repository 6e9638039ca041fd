"""What tests of the kit and of services stand on: settings without an environment, a real NATS, running programs."""

from uait_kit.testing._nats import NatsServer
from uait_kit.testing._program import Program
from uait_kit.testing._settings import eventually, settings

__all__ = ["NatsServer", "Program", "eventually", "settings"]
