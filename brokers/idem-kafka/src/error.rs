//! What can be wrong with settings.

use std::fmt;

/// Why a publisher or a source can't be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KafkaError {
    /// It is not a list of brokers.
    Brokers,
    /// It can't be the name of a group or a topic.
    Name,
    /// A setting of the client's configuration contradicts what this crate needs.
    Setting {
        /// Its name.
        name: &'static str,
        /// What to do.
        fix: &'static str,
    },
    /// The client refuses this setting.
    Refused {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for KafkaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brokers => f.write_str(
                "not a list of Kafka brokers: write `host:port`, several with commas between them",
            ),
            Self::Name => f.write_str(
                "the name of a topic is 1 to 249 ASCII letters, digits, `.`, `_` and `-`, and that of a group is not empty; \
                 a source needs at least one topic",
            ),
            Self::Setting { name, fix } => write!(f, "the setting `{name}` of the client: {fix}"),
            Self::Refused { name } => write!(
                f,
                "the client refuses the setting `{name}`: it does not know it, its value is not valid, or it needs a feature of \
                 `rdkafka` that is off, such as `ssl`, `gssapi` or `zstd`"
            ),
        }
    }
}

impl std::error::Error for KafkaError {}
