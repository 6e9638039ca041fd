//! The service's own part of the environment; the kit's part is the kit's.

use uait_kit::config::{ConfigError, Defaults, Environment};

/// What the catalogue says of this service.
pub const DEFAULTS: Defaults = Defaults { service: "echo-rust", port: 8003 };

/// The service's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How many ended calls, and how many handled events, are remembered to be asked about.
    pub remembered: usize,
}

impl Config {
    /// Reads the service's variables.
    ///
    /// # Errors
    /// The first variable that is outside of its range.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self { remembered: environment.number("ECHO_REMEMBERED", 10_000, 1..=1_000_000)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_out_of_range_is_refused_with_its_name() {
        assert_eq!(Config::read(&Environment::default()), Ok(Config { remembered: 10_000 }));
        let error = Config::read(&Environment::from([("ECHO_REMEMBERED", "0")])).unwrap_err();
        assert_eq!(error.to_string(), "ECHO_REMEMBERED=0: must be 1 to 1000000");
    }
}
