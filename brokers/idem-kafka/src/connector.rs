//! How clients are configured.

use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError as ClientError;

use crate::error::KafkaError;

/// What clients are made with: the brokers, TLS and authentication.
///
/// ```
/// use idem_kafka::Connector;
/// use idem_kafka::rdkafka::ClientConfig;
///
/// # fn main() -> Result<(), idem_kafka::KafkaError> {
/// let plain = Connector::brokers("k1.internal:9092,k2.internal:9092")?;
///
/// // TLS, SASL and everything else: your own configuration
/// let mut config = ClientConfig::new();
/// config.set("bootstrap.servers", "k1.internal:9093");
/// config.set("security.protocol", "ssl"); // needs the feature `ssl` of `rdkafka`
/// let own = Connector::from(config);
/// # Ok(())
/// # }
/// ```
///
/// What a publisher or a source needs is set by it. A setting that contradicts that is an error.
#[derive(Clone)]
pub struct Connector(ClientConfig);

impl Connector {
    /// By addresses: `host:port`, several with commas between them.
    ///
    /// # Errors
    /// [`KafkaError::Brokers`].
    pub fn brokers(brokers: &str) -> Result<Self, KafkaError> {
        let is_address = |address: &str| {
            let (host, port) = address.trim().rsplit_once(':')?;
            let is_host = !host.is_empty() && !host.contains([' ', '/', '@']);
            (is_host && port.parse::<u16>().is_ok()).then_some(())
        };
        if !brokers
            .split(',')
            .all(|address| is_address(address).is_some())
        {
            return Err(KafkaError::Brokers);
        }
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        Ok(Self(config))
    }

    /// Of a producer that loses and reorders nothing.
    pub(crate) fn producer(&self) -> Result<ClientConfig, KafkaError> {
        let mut config = self.0.clone();
        demand(&mut config, "enable.idempotence", "true", &["true", "1"])?;
        let acks = ["all", "-1"];
        demand(&mut config, "acks", "all", &acks)?;
        if config.get("request.required.acks").is_some() {
            demand(&mut config, "request.required.acks", "all", &acks)?;
        }
        for (name, fix) in [
            (
                "transactional.id",
                "leave it out, since the publisher uses no transactions",
            ),
            (
                "message.timeout.ms",
                "leave it out: `KafkaPublisher::timeout` sets it",
            ),
            (
                "delivery.timeout.ms",
                "leave it out: `KafkaPublisher::timeout` sets it",
            ),
        ] {
            if config.get(name).is_some() {
                return Err(KafkaError::Setting { name, fix });
            }
        }
        begun(&mut config);
        // A key waits for the confirmation of its last event, not for company.
        unless_set(&mut config, "linger.ms", "0");
        // The one of the Java clients: the same key is in the same partition, whoever publishes.
        unless_set(&mut config, "partitioner", "murmur2_random");
        // The client asks the brokers to make a topic that nobody has made, unless this is `false`.
        unless_set(&mut config, "allow.auto.create.topics", "false");
        // How long a topic that nobody knows may still be on its way to the brokers.
        unless_set(&mut config, "topic.metadata.propagation.max.ms", "5000");
        checked(config)
    }

    /// Of a consumer of this group whose offsets are committed by the source alone.
    pub(crate) fn consumer(&self, group: &str) -> Result<ClientConfig, KafkaError> {
        let mut config = self.0.clone();
        let no = ["false", "0"];
        demand(&mut config, "enable.auto.commit", "false", &no)?;
        demand(&mut config, "enable.auto.offset.store", "false", &no)?;
        if config
            .get("group.id")
            .is_some_and(|of_user| of_user != group)
        {
            return Err(KafkaError::Setting {
                name: "group.id",
                fix: "leave it out: the group is an argument of the source",
            });
        }
        config.set("group.id", group);
        if config
            .get("group.protocol")
            .is_some_and(|protocol| protocol != "classic")
        {
            return Err(KafkaError::Setting {
                name: "group.protocol",
                fix: "leave it out, since the source speaks the classic protocol",
            });
        }
        begun(&mut config);
        // What stays with its instance is not interrupted.
        unless_set(
            &mut config,
            "partition.assignment.strategy",
            "cooperative-sticky",
        );
        // A group that is new, or whose offsets were lost, misses nothing.
        unless_set(&mut config, "auto.offset.reset", "earliest");
        // What the client has in memory before the source takes it. Its own default is 100,000.
        unless_set(&mut config, "queued.min.messages", "1000");
        unless_set(&mut config, "queued.max.messages.kbytes", "16384");
        checked(config)
    }
}

/// How long the client may go without a poll.
pub(crate) fn max_poll_interval(config: &ClientConfig) -> Duration {
    let millis = config.get("max.poll.interval.ms");
    Duration::from_millis(millis.and_then(|text| text.parse().ok()).unwrap_or(300_000))
}

fn demand(
    config: &mut ClientConfig,
    name: &'static str,
    value: &'static str,
    same: &[&str],
) -> Result<(), KafkaError> {
    if config
        .get(name)
        .is_some_and(|of_user| !same.contains(&of_user))
    {
        let fix = match value {
            "true" => "leave it out, or set it to `true`",
            "false" => "leave it out, or set it to `false`",
            _ => "leave it out, or set it to `all`",
        };
        return Err(KafkaError::Setting { name, fix });
    }
    config.set(name, value);
    Ok(())
}

/// What publishers and sources have in common.
fn begun(config: &mut ClientConfig) {
    unless_set(config, "client.id", "idem");
    // How long a broker that is back may go unnoticed.
    unless_set(config, "reconnect.backoff.max.ms", "1000");
}

fn unless_set(config: &mut ClientConfig, name: &str, value: &str) {
    if config.get(name).is_none() {
        config.set(name, value);
    }
}

/// Has the client look at each setting, without making one.
fn checked(config: ClientConfig) -> Result<ClientConfig, KafkaError> {
    match config.create_native_config() {
        Ok(_) => Ok(config),
        // Its own words may quote a password.
        Err(ClientError::ClientConfig(_, _, name, _)) => Err(KafkaError::Refused { name }),
        Err(_) => Err(KafkaError::Refused {
            name: "(unknown)".into(),
        }),
    }
}

impl From<ClientConfig> for Connector {
    fn from(config: ClientConfig) -> Self {
        Self(config)
    }
}

/// Shows nothing: a configuration has passwords in it.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
