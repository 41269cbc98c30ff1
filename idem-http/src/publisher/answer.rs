//! What an endpoint's answer means for this event, and for all others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};
use idem_runtime::PublishError;

/// More than a relay waits for any receiver.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Judges answers, and remembers whether the endpoint works.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// Whether an event was confirmed since the last answer that left open what is wrong.
    works: AtomicBool,
}

impl Judge {
    /// `followed`: the client followed a redirect before it got this answer.
    pub(crate) fn verdict(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        followed: bool,
    ) -> Result<(), PublishError> {
        let answered = |hint: &str| format!("the endpoint answered {}{hint}", status.as_u16());
        let moved =
            ": it has moved, and redirects are not followed. Give the publisher its new URL";
        let error = match status.as_u16() {
            200..=299 if followed => PublishError::unavailable(answered(
                " after a redirect, which confirms nothing. Give the publisher its new URL",
            )),
            200..=299 => {
                self.works.store(true, Ordering::Relaxed);
                return Ok(());
            }
            300..=399 => PublishError::unavailable(answered(moved)),
            401 => PublishError::unavailable(answered(
                ": it does not accept the credentials. Give the publisher valid ones",
            )),
            403 => self.of_either(answered(
                ": it forbids the request. Allow these credentials to post events there",
            )),
            404 => self.of_either(answered(
                ": there is nothing at this URL. Check its path, and the routes of the endpoint",
            )),
            405 => PublishError::unavailable(answered(
                ": it takes no POST at this URL. Check its path, and the routes of the endpoint",
            )),
            407 => PublishError::unavailable(answered(
                ": a proxy asks for credentials. Give them to the publisher's client",
            )),
            410 => PublishError::unavailable(answered(
                ": it is gone for good. Give the publisher another URL",
            )),
            502 | 504 => self.of_either(answered("")),
            429 | 503 => PublishError::unavailable(answered("")),
            // Below 200 nothing is the answer to a POST.
            ..200 | 408 | 425 | 500.. => PublishError::retryable(answered("")),
            _ => PublishError::permanent(answered(
                ": it does not accept this event. The endpoint's log may say why",
            )),
        };
        Err(match retry_after(headers) {
            Some(delay) => error.after(delay),
            None => error,
        })
    }

    /// An answer that concerns this event alone if others were confirmed meanwhile, and all of them
    /// otherwise.
    fn of_either(&self, reason: String) -> PublishError {
        if self.works.swap(false, Ordering::Relaxed) {
            PublishError::retryable(reason)
        } else {
            PublishError::unavailable(reason)
        }
    }
}

/// Given in seconds or as a date. `None` where there is none, or its time has passed.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let delay = if is_number {
        value.parse().map_or(LONGEST_WAIT, Duration::from_secs)
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        date.duration_since(SystemTime::now()).ok()?
    };
    Some(delay.min(LONGEST_WAIT)).filter(|delay| !delay.is_zero())
}

/// There was no answer. The innermost cause says most ("Connection refused").
pub(crate) fn unanswered(error: &reqwest::Error) -> PublishError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_connect() && cause.to_string().contains("scheme is not http") {
        return PublishError::unavailable(
            "no connection to the endpoint: `https` needs a TLS feature of reqwest. Add `reqwest = \
             { version = \"0.13\", features = [\"rustls\"] }` to the dependencies of the program",
        );
    }
    if error.is_connect() {
        return PublishError::unavailable(format!("no connection to the endpoint: {cause}"));
    }
    if error.is_redirect() {
        return PublishError::unavailable("the endpoint redirects: give the publisher its new URL");
    }
    if error.is_timeout() {
        return PublishError::retryable(
            "the endpoint did not answer in time (`HttpPublisher::timeout`)",
        );
    }
    PublishError::retryable(format!("the endpoint did not answer: {cause}"))
}

#[cfg(test)]
mod tests;
