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
            // Its text can quote the message.
            let what = match error.classify() {
                serde_json::error::Category::Data => "JSON of another shape than",
                _ => "no JSON that could be read as",
            };
            Undecodable::new(format!(
                "the body is {what} `{}`: line {} column {}",
                std::any::type_name::<M>(),
                error.line(),
                error.column()
            ))
        })
    }
}

/// Why a message can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable(String);

impl Undecodable {
    /// The reason is stored with the dead letter and logged: no secrets, nothing of the message.
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
    fn json_is_read_and_what_is_refused_is_not_quoted() {
        let read = Json.decode(&Incoming::new("[1,2]"));
        assert_eq!(read, Ok(vec![1, 2]));
        for body in [r#"{"secret":1}"#, "[secret", r#"["secret"]"#] {
            let refused: Result<Vec<i32>, _> = Json.decode(&Incoming::new(body));
            let reason = refused.unwrap_err().to_string();
            assert!(reason.contains("line 1 column"), "{reason}");
            assert!(!reason.contains("secret"), "{reason}");
        }
    }
}
