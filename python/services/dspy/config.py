"""Settings of the service."""

from __future__ import annotations

from dataclasses import dataclass

from uait_kit import Environment, KitConfig

__all__ = ["DspyConfig"]

_SERVICE = "dspy"
_PORT = 8030


@dataclass(frozen=True, slots=True, kw_only=True)
class DspyConfig:
    """What the service needs to run.

    Attributes:
        kit: The settings that every service has.
        evaluations_at_once: How many examples of one evaluation are under way at a time.
    """

    kit: KitConfig
    evaluations_at_once: int

    @classmethod
    def read(cls, env: Environment) -> DspyConfig:
        """Reads the settings.

        Raises:
            ConfigError: A value is outside its range.
        """
        return cls(
            kit=KitConfig.read(env, service=_SERVICE, port=_PORT),
            evaluations_at_once=env.integer("DSPY_EVALUATIONS_AT_ONCE", default=4, low=1, high=256),
        )
