//! What an operator sees.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idem_testing::{Settled, TestSource};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use crate::sqlite::start;
use crate::sqlite::suite::{Running, consumer};
use crate::stage::{Act, Stage, step};

/// What was logged at WARN and above, with its fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= Level::WARN {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}

/// Guards: the span of an attempt, its link to the producer's, and that the call is in it.
#[tokio::test]
async fn an_attempt_is_a_span_that_is_linked_to_its_producers() {
    let db = start().await;
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _subscriber = idem_tests::subscribe(tracing_subscriber::registry().with(layer));

    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut traced = step("a", 1, Act::Succeed);
    traced.headers.insert(
        "traceparent".into(),
        format!("00-{trace}-00f067aa0ba902b7-01"),
    );
    let delivery = source.deliver(traced);
    delivery.assert_settled(Settled::Acked).await;
    running.stop().await;

    let spans = exporter.get_finished_spans().unwrap();
    let consume = spans.iter().find(|span| span.name == "consume").unwrap();
    let links: Vec<_> = consume.links.iter().collect();
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].span_context.trace_id().to_string(), trace);
    assert_ne!(consume.span_context.trace_id().to_string(), trace);
    let attributes = format!("{:?}", consume.attributes);
    for part in ["\"test\"", "\"steps\"", "\"step-1\"", "\"Step\""] {
        assert!(attributes.contains(part), "{part} of {attributes}");
    }
}

/// Guards: the warning a minute before the broker takes a delivery back for good; and that no log
/// holds a key or a payload.
#[tokio::test]
async fn a_delivery_that_can_not_be_kept_any_longer_is_named_in_time() {
    let db = start().await;
    let log = Log::default();
    let _subscriber = idem_tests::subscribe(tracing_subscriber::registry().with(log.clone()));
    let source = TestSource::new().longest_hold(Duration::from_mins(30));
    let stage = Stage::default();
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let slow = source.deliver(step("secret", 1, Act::Wait));
    let bad = source.deliver(step("secret-2", 2, Act::GiveUp));
    stage.until_begun(2).await;
    bad.assert_settled(Settled::Acked).await;
    source.advance(Duration::from_secs(29 * 60 - 1));
    assert!(
        !log.0
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains("in a minute"))
    );
    source.advance_to_next().await;
    stage.let_go(1);
    slow.assert_settled(Settled::Acked).await;
    running.stop().await;
    let lines = log.0.lock().unwrap().clone();
    let warnings: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("in a minute"))
        .collect();
    assert_eq!(warnings.len(), 1, "{lines:?}");
    assert!(warnings[0].contains("consumer.play"), "{warnings:?}");
    assert!(lines.iter().any(|line| line.contains("a dead letter")));
    assert!(
        !lines.iter().any(|line| line.contains("secret")),
        "{lines:?}"
    );
}
