//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt as _};

const USAGE: &str = "\
usage: shop [--orders N] [OPTION]...      200 orders, or N, from the request to the ledger
       shop --chaos [SECONDS] [OPTION]... kill and freeze everything meanwhile, for 60 s
       shop --serve [OPTION]...           stay up, and say what to try
       shop prove DIR                     look once more at what a run has left in DIR
options:
  --broker BROKER  `nats` or `rabbitmq` starts one; or the URL of one that runs, nats://... or amqp://...
                   without it events go from service to service by HTTP
  --data DIR       keep the databases there; otherwise they are temporary
  --seed N         the orders, and the plan of what is killed when, of an earlier run";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Run(Options),
    Prove(PathBuf),
    Orders(Service),
    Ledger(Service),
    /// Ends the processes that it is told of when its input ends, and removes the folder.
    Watchdog(Option<PathBuf>),
    Help,
}

/// What the demonstration does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) broker: Option<String>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) seed: Option<u64>,
    pub(crate) mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Orders(u64),
    Chaos(Duration),
    Serve,
}

/// What a service is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) database: PathBuf,
    pub(crate) address: SocketAddr,
    /// How events get from orders to the ledger.
    pub(crate) url: String,
    /// What is this shop's on the broker begins with it.
    pub(crate) name: String,
}

/// Reads the command line, without the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString, IntoIter: 'static>) -> Result<Task> {
    read(Parser::from_args(words)).context(USAGE)
}

/// Explains itself.
pub(crate) fn help() {
    println!("{USAGE}");
}

fn read(mut words: Parser) -> Result<Task> {
    let mut options = Options {
        broker: None,
        data: None,
        seed: None,
        mode: Mode::Orders(200),
    };
    let mut modes = 0;
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            Arg::Long("broker") => options.broker = Some(words.value()?.string()?),
            Arg::Long("data") => options.data = Some(words.value()?.into()),
            Arg::Long("seed") => options.seed = Some(number(&mut words, "--seed")?),
            Arg::Long(mode @ ("orders" | "chaos" | "serve")) => {
                modes += 1;
                options.mode = match mode {
                    "orders" => Mode::Orders(number(&mut words, "--orders")?),
                    "chaos" => Mode::Chaos(seconds(&mut words)?),
                    _ => Mode::Serve,
                };
            }
            Arg::Value(task) if options.broker.is_none() && modes == 0 => {
                return subcommand(&task.string()?, &mut words);
            }
            word => return Err(word.unexpected().into()),
        }
    }
    ensure!(
        options
            .broker
            .as_ref()
            .is_none_or(|broker| !broker.starts_with("http")),
        "without a broker events go by HTTP: leave --broker out"
    );
    ensure!(
        modes < 2,
        "--orders, --chaos and --serve are three runs: choose one"
    );
    Ok(Task::Run(options))
}

fn subcommand(name: &str, words: &mut Parser) -> Result<Task> {
    let mut rest = words.raw_args()?;
    let mut place = || rest.next();
    let task = match name {
        "prove" => Task::Prove(place().context("prove needs the folder of a run")?.into()),
        "watchdog" => Task::Watchdog(place().map(Into::into)),
        "orders" | "ledger" => {
            let usage = "needs DATABASE ADDRESS URL NAME";
            let mut text = || -> Result<String> { Ok(place().context(usage)?.string()?) };
            let service = Service {
                database: text()?.into(),
                address: text()?
                    .parse()
                    .context("ADDRESS is such as 127.0.0.1:8080")?,
                url: text()?,
                name: text()?,
            };
            if name == "orders" {
                Task::Orders(service)
            } else {
                Task::Ledger(service)
            }
        }
        _ => bail!("there is no command {name:?}"),
    };
    ensure!(rest.next().is_none(), "{name} has too many arguments");
    Ok(task)
}

/// How long the chaos lasts; it need not be said.
fn seconds(words: &mut Parser) -> Result<Duration> {
    const DEFAULT: Duration = Duration::from_mins(1);
    let seconds = if let Some(value) = words.optional_value() {
        value.parse().context("--chaos takes a number of seconds")?
    } else {
        let Some(mut rest) = words.try_raw_args() else {
            return Ok(DEFAULT);
        };
        let Some(seconds) = rest.peek().and_then(|word| word.to_str()?.parse().ok()) else {
            return Ok(DEFAULT);
        };
        rest.next();
        seconds
    };
    ensure!(
        (1..=86_400).contains(&seconds),
        "--chaos takes 1 to 86400 seconds"
    );
    Ok(Duration::from_secs(seconds))
}

fn number<T: FromStr>(words: &mut Parser, name: &str) -> Result<T> {
    let value = words.value()?.string()?;
    value
        .parse()
        .ok()
        .with_context(|| format!("{name} can't be {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(words: &str) -> Result<Mode> {
        let words: Vec<OsString> = words.split_whitespace().map(Into::into).collect();
        match parse(words)? {
            Task::Run(options) => Ok(options.mode),
            task => bail!("{task:?}"),
        }
    }

    #[test]
    fn the_length_of_the_chaos_need_not_be_said() {
        let minute = Mode::Chaos(Duration::from_mins(1));
        assert_eq!(mode("--chaos").unwrap(), minute);
        assert_eq!(mode("--chaos --seed 7").unwrap(), minute);
        let eight = Mode::Chaos(Duration::from_secs(8));
        assert_eq!(mode("--chaos 8 --seed 7").unwrap(), eight);
        assert_eq!(mode("--chaos=8").unwrap(), eight);
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        for (words, reason) in [
            ("--chaos 0", "1 to 86400"),
            ("--chaos --serve", "choose one"),
            ("--orders many", "can't be \"many\""),
            ("prove", "needs the folder"),
            ("ordres", "no command"),
            ("--broker", "missing argument"),
            ("--broker http://127.0.0.1", "leave --broker out"),
        ] {
            let error = format!("{:#}", mode(words).unwrap_err());
            assert!(error.contains(reason), "{words}: {error}");
        }
    }
}
