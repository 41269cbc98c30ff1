//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use lexopt::Arg::{Long, Short};
use lexopt::ValueExt as _;

pub(crate) const HELP: &str = "\
usage: idem-benches [OPTIONS]

  --only DATABASE   postgres, mariadb or sqlite (default: all three)
  --arms TEXT       only the arms whose names contain TEXT, and those that they are compared with
  --direct          without the proxy that delays, and without the slow flush
  --rounds N        rounds to measure (default: 150, 60 through the proxy)
  --quick           8 rounds: to see that it runs
  --growth          the second table instead: claims in tables of 10 thousand, 1 and 5 million keys
  --saturation      the third table instead: calls a second of 8 connections at once, on PostgreSQL
  --relay           the fourth table instead: the relay; --arms takes drain, several, looks, enqueue or latency
  --consumer        the fifth table instead: messages a second from a queue to handlers, on PostgreSQL
  --inbox           messages a second from an inbox with 20,000 waiting, of few keys and of many, on each database
  --brokers         the sixth table instead: publishers and sources against their bare clients; --arms takes rabbitmq or jetstream
  --batches         the seventh table instead: many messages in one transaction, messages a second of 8 connections
  --keys N          with --growth or --relay: leave out sizes above N
  --out FOLDER      where the CSV and SVG files go (default: benches/results)

Data lie in TMPDIR, so that TMPDIR=/dev/shm leaves the disk out of it.";

#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) only: Option<String>,
    pub(crate) arms: Option<String>,
    pub(crate) direct: bool,
    pub(crate) rounds: Option<usize>,
    pub(crate) growth: bool,
    pub(crate) saturation: bool,
    pub(crate) relay: bool,
    pub(crate) consumer: bool,
    pub(crate) inbox: bool,
    pub(crate) brokers: bool,
    pub(crate) batches: bool,
    pub(crate) keys: u64,
    pub(crate) out: PathBuf,
}

impl Args {
    /// `None`: help was asked for.
    pub(crate) fn parse(words: impl Iterator<Item = String> + 'static) -> Result<Option<Self>> {
        let mut words = lexopt::Parser::from_args(words);
        let mut args = Self {
            only: None,
            arms: None,
            direct: false,
            rounds: None,
            growth: false,
            saturation: false,
            relay: false,
            consumer: false,
            inbox: false,
            brokers: false,
            batches: false,
            keys: u64::MAX,
            out: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/results")),
        };
        while let Some(word) = words.next()? {
            match word {
                Long("only") => args.only = Some(words.value()?.string()?),
                Long("arms") => args.arms = Some(words.value()?.string()?),
                Long("direct") => args.direct = true,
                Long("rounds") => args.rounds = Some(words.value()?.parse()?),
                Long("quick") => args.rounds = Some(8),
                Long("growth") => args.growth = true,
                Long("saturation") => args.saturation = true,
                Long("relay") => args.relay = true,
                Long("consumer") => args.consumer = true,
                Long("inbox") => args.inbox = true,
                Long("brokers") => args.brokers = true,
                Long("batches") => args.batches = true,
                Long("keys") => args.keys = words.value()?.parse()?,
                Long("out") => args.out = words.value()?.into(),
                Long("help") | Short('h') => return Ok(None),
                word => return Err(word.unexpected()).context(HELP),
            }
        }
        if let Some(only) = &args.only
            && !["postgres", "mariadb", "sqlite"].contains(&only.as_str())
        {
            bail!("no such database: {only}\n\n{HELP}");
        }
        Ok(Some(args))
    }

    pub(crate) fn wants(&self, database: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == database)
    }
}
