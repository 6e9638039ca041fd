//! What the catalogue says of this service; all of its environment is the kit's.

use uait_kit::config::Defaults;

/// Name and port.
pub const DEFAULTS: Defaults = Defaults { service: "ab-mcts", port: 8020 };
