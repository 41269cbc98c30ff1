//! A program's command line.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::anyhow;
use lexopt::{Arg, ValueExt as _};

/// Arguments by place and options by name; each option takes a value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// In their order.
    places: Vec<String>,
    options: BTreeMap<&'static str, String>,
}

impl Arguments {
    /// Reads the command line: at most `places` arguments, and the options of these names.
    ///
    /// # Errors
    /// What is left over, unknown or without its value.
    pub fn parse(
        words: impl IntoIterator<Item = String, IntoIter: 'static>,
        places: usize,
        options: &[&'static str],
    ) -> anyhow::Result<Self> {
        let mut arguments = Self::default();
        let mut words = lexopt::Parser::from_args(words);
        while let Some(word) = words.next()? {
            let option = match &word {
                Arg::Long(name) => options.iter().find(|option| option[2..] == **name),
                _ => None,
            };
            if let Some(option) = option {
                let value = words.value()?.string()?;
                arguments.options.insert(option, value);
                continue;
            }
            match word {
                Arg::Value(place) if arguments.places.len() < places => {
                    arguments.places.push(place.string()?);
                }
                word => return Err(word.unexpected().into()),
            }
        }
        Ok(arguments)
    }

    /// The argument at this place, counted from 0.
    pub fn at(&self, place: usize) -> Option<&str> {
        self.places.get(place).map(String::as_str)
    }

    /// The value of this option, if it was given.
    ///
    /// # Errors
    /// A value that is no `T`.
    pub fn option<T: FromStr>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let Some(value) = self.options.get(name) else {
            return Ok(None);
        };
        let value = value
            .parse()
            .map_err(|_| anyhow!("{name} can't be {value:?}"))?;
        Ok(Some(value))
    }
}
