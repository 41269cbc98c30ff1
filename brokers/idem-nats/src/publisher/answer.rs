//! What a stream says to an event, and whom that concerns.

use async_nats::jetstream::context::{RequestError, RequestErrorKind};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{Context, ErrorCode};
use idem_runtime::PublishError;
use serde_json::{Value, json};

/// No event can be stored now.
const UNAVAILABLE: [ErrorCode; 8] = [
    ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    ErrorCode::CLUSTER_NOT_AVAILABLE,
    ErrorCode::CLUSTER_NOT_LEADER,
    ErrorCode::INSUFFICIENT_RESOURCES,
    ErrorCode::JETSTREAM_NOT_ENABLED,
    ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT,
    ErrorCode::STORAGE_RESOURCES_EXCEEDED,
    ErrorCode::MEMORY_RESOURCES_EXCEEDED,
];

/// The verdict on an event that was sent to this subject.
pub(super) fn verdict(answer: &[u8], subject: &str) -> Result<(), PublishError> {
    let error = match serde_json::from_slice(answer) {
        // Also if it is a duplicate: then the stream had it already.
        Ok(Response::Ok(PublishAck { .. })) => return Ok(()),
        Ok(Response::Err { error }) => error,
        Err(_) => {
            return Err(PublishError::retryable(format!(
                "what answers on `{subject}` is not a stream: another program is subscribed to it, and no stream takes it"
            )));
        }
    };
    let code = error.error_code();
    let says = format!("the stream that takes `{subject}` says {error}");
    Err(match code {
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => PublishError::permanent(format!(
            "{says}: raise `max_msg_size` of the stream, or make the event smaller"
        )),
        ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            PublishError::permanent(format!("{says}: put less into headers"))
        }
        ErrorCode::STREAM_NOT_MATCH => PublishError::retryable(format!(
            "{says}: the subject belongs to another stream than the one that the publisher was told"
        )),
        code if UNAVAILABLE.contains(&code) => PublishError::unavailable(says),
        _ => PublishError::retryable(says),
    })
}

/// A stream that takes a subject, whether it has a leader or not.
pub(super) async fn streams_of(
    context: &Context,
    subject: &str,
) -> Result<Option<String>, RequestError> {
    let question = json!({ "subject": subject });
    let names = match context.request("STREAM.NAMES", &question).await? {
        Response::Ok::<Value>(names) => names,
        Response::Err { error } => {
            return Err(RequestError::with_source(RequestErrorKind::Other, error));
        }
    };
    let first = names.pointer("/streams/0").and_then(Value::as_str);
    Ok(first.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u64) -> PublishError {
        let answer = json!({ "error": { "code": 503, "err_code": code, "description": "no" } });
        verdict(answer.to_string().as_bytes(), "orders").unwrap_err()
    }

    #[test]
    fn a_stream_confirms_what_it_has_or_had() {
        for answer in [
            r#"{"stream":"S","seq":1}"#,
            r#"{"stream":"S","seq":1,"duplicate":true,"domain":"d"}"#,
        ] {
            assert_eq!(verdict(answer.as_bytes(), "orders"), Ok(()));
        }
    }

    #[test]
    fn whom_a_refusal_concerns_is_said_by_its_code() {
        for code in [10002, 10008, 10023, 10047, 10076, 10039] {
            assert!(refused(code).is_unavailable(), "{code}");
        }
        for code in [10054, 10097] {
            assert!(refused(code).is_permanent(), "{code}");
        }
        for code in [10060, 10077, 1] {
            let error = refused(code);
            assert!(!error.is_permanent() && !error.is_unavailable(), "{code}");
            assert!(error.reason().contains("`orders`"), "{error}");
        }
    }

    #[test]
    fn an_answer_of_another_program_confirms_nothing() {
        for answer in ["", "{}", "thanks", "[]"] {
            let error = verdict(answer.as_bytes(), "orders").unwrap_err();
            assert!(error.reason().contains("another program"), "{error}");
        }
    }
}
