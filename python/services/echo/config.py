"""Settings of the service."""

from __future__ import annotations

from dataclasses import dataclass

from uait_kit import Environment, KitConfig

__all__ = ["EchoConfig"]

_SERVICE = "echo-python"
_PORT = 8004


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoConfig:
    """What the service needs to run.

    Attributes:
        kit: The settings that every service has.
        remembered: How many ended calls and how many handled events can be asked about; the oldest go first.
    """

    kit: KitConfig
    remembered: int

    @classmethod
    def read(cls, env: Environment) -> EchoConfig:
        """Reads the settings.

        Raises:
            ConfigError: A value is outside its range.
        """
        return cls(
            kit=KitConfig.read(env, service=_SERVICE, port=_PORT),
            remembered=env.integer("ECHO_REMEMBERED", default=10_000, low=1, high=1_000_000),
        )
