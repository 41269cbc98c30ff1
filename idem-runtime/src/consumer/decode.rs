//! From the bytes of a message to the type that its handler takes.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::source::Incoming;

/// Reads messages of one format. [`Json`] is the consumer's unless it is given another one.
///
/// ```
/// use idem_runtime::{Decode, Incoming, Undecodable};
///
/// struct Text;
///
/// impl Decode<String> for Text {
///     fn decode(&self, incoming: &Incoming) -> Result<String, Undecodable> {
///         String::from_utf8(incoming.body.clone()).map_err(|_| Undecodable::new("not UTF-8"))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a `{M}` can't be read from a message by `{Self}`",
    label = "a handler's message can't be read",
    note = "derive `serde::Deserialize` for `{M}`, or give the consumer a format that reads it: `Consumer::format`"
)]
pub trait Decode<M>: Send + Sync + 'static {
    /// Reads a message.
    ///
    /// # Errors
    /// A message that can't be read becomes a dead letter at once, with the reason and its bytes.
    fn decode(&self, incoming: &Incoming) -> Result<M, Undecodable>;
}

/// The body is JSON, whatever its content type says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

#[diagnostic::do_not_recommend]
impl<M: DeserializeOwned> Decode<M> for Json {
    fn decode(&self, incoming: &Incoming) -> Result<M, Undecodable> {
        serde_json::from_slice(&incoming.body).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "JSON of another shape than",
                _ => "no JSON that could be read as",
            };
            let kind = std::any::type_name::<M>();
            Undecodable::new(format!("the body is {what} `{kind}`: {error}"))
        })
    }
}

/// Why a message can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable(String);

impl Undecodable {
    /// The reason is stored with the dead letter, next to the message, and not logged. So it may say
    /// which part of the message is wrong.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Undecodable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_and_the_reason_names_what_is_wrong() {
        #[derive(Debug, PartialEq, Eq, serde::Deserialize)]
        struct Payment {
            cents: i64,
        }

        let decode = |body: &str| Decode::<Payment>::decode(&Json, &Incoming::new(body));
        assert_eq!(decode(r#"{"cents":5}"#), Ok(Payment { cents: 5 }));
        for (body, expected) in [
            (
                r#"{"amount":5}"#,
                "another shape than `idem_runtime::consumer::decode::tests::json_is_read_and_the_reason_names_what_is_wrong::Payment`: missing field `cents` at line 1 column 12",
            ),
            (
                r#"{"cents":"5"}"#,
                "invalid type: string \"5\", expected i64",
            ),
            (r#"{"cents"#, "no JSON that could be read as"),
        ] {
            let reason = decode(body).unwrap_err().to_string();
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
