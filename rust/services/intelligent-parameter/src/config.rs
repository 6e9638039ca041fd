//! The service's own part of the environment; the kit's part is the kit's.

use uait_kit::config::{ConfigError, Defaults, Environment};

use crate::bandit::HalfLife;

/// What the catalogue says of this service.
pub const DEFAULTS: Defaults = Defaults { service: "intelligent-parameter", port: 8021 };

/// The service's own settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// How fast feedback ages.
    pub half_life: HalfLife,
}

impl Config {
    /// Reads the service's variables.
    ///
    /// # Errors
    /// The first variable that is outside of its range.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let feedbacks: u32 = environment.number("PARAMETER_HALF_LIFE", 1000, 10..=1_000_000)?;
        Ok(Self { half_life: HalfLife::of_feedbacks(feedbacks) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_out_of_range_is_refused_with_its_name() {
        assert_eq!(Config::read(&Environment::default()), Ok(Config { half_life: HalfLife::of_feedbacks(1000) }));
        let error = Config::read(&Environment::from([("PARAMETER_HALF_LIFE", "9")])).unwrap_err();
        assert_eq!(error.to_string(), "PARAMETER_HALF_LIFE=9: must be 10 to 1000000");
    }
}
