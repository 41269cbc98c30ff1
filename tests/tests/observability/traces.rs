//! A real OpenTelemetry pipeline, from the span of a call to the header of its events.

use std::collections::BTreeMap;

use idem_runtime::broker::JsonLines;
use idem_runtime::{Event, Outbox, Relay, idempotent, outbox};
use idem_tests::server::{self, Database};
use opentelemetry::trace::{SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use serde::Serialize;
use sqlx::{Executor as _, PgConnection, PgPool};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

#[derive(Serialize, Event)]
#[event(topic = "ledger.posted")]
struct Posted {
    id: u32,
}

#[idempotent(key = "id", scope = "payments.trace")]
#[outbox]
async fn trace(tx: &mut PgConnection, outbox: &mut Outbox<Posted>, id: u32) -> Result<(), String> {
    outbox.emit(&Posted { id });
    tx.execute("SELECT 1").await.unwrap();
    if id == 2 {
        return Err("no".into());
    }
    Ok(())
}

async fn migrated() -> (Database, PgPool) {
    let database = server::postgres().database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    idem_runtime::migrate(&pool).await.unwrap();
    (database, pool)
}

/// The headers of the only event.
async fn headers(pool: &PgPool) -> BTreeMap<String, String> {
    let headers: String = sqlx::query_scalar("SELECT headers FROM idem_outbox")
        .fetch_one(pool)
        .await
        .unwrap();
    serde_json::from_str(&headers).unwrap()
}

fn named<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    spans.iter().find(|span| span.name == name).unwrap()
}

#[tokio::test]
async fn an_event_carries_the_span_that_emitted_it() {
    let (_database, pool) = migrated().await;
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    {
        let _subscriber = idem_tests::subscribe(tracing_subscriber::registry().with(layer));
        let consumer = tracing::info_span!("consumer");
        trace(&pool, 1)
            .instrument(consumer)
            .await
            .unwrap()
            .into_inner();
        trace(&pool, 2).await.unwrap_err();
    }
    let spans = exporter.get_finished_spans().unwrap();
    let consumer = named(&spans, "consumer");
    let process: Vec<&SpanData> = spans
        .iter()
        .filter(|span| span.name == "process payments.trace")
        .collect();
    let [done, failed] = process[..] else {
        panic!("not two calls: {spans:?}");
    };
    assert_eq!(done.span_kind, SpanKind::Consumer);
    assert_eq!(done.status, Status::Unset);
    assert_eq!(done.parent_span_id, consumer.span_context.span_id());
    assert_eq!(
        done.span_context.trace_id(),
        consumer.span_context.trace_id()
    );
    assert!(
        matches!(failed.status, Status::Error { .. }),
        "{:?}",
        failed.status
    );

    let expected = format!(
        "00-{}-{}-01",
        done.span_context.trace_id(),
        done.span_context.span_id()
    );
    assert_eq!(expected.len(), 55);
    assert_eq!(headers(&pool).await["traceparent"], expected);
}

#[tokio::test]
async fn an_event_outside_of_any_trace_carries_none() {
    let (_database, pool) = migrated().await;
    {
        let _subscriber = idem_tests::subscribe(tracing_subscriber::registry());
        trace(&pool, 1).await.unwrap().into_inner();
    }
    let headers: Vec<String> = headers(&pool).await.into_keys().collect();
    assert_eq!(headers, ["causation"]);
}

/// Guards: the span of a publication has a link to each of its producers. It has no one parent:
/// what is published together comes from several traces.
#[tokio::test]
async fn a_publication_is_linked_to_the_spans_that_emitted_its_events() {
    let (_database, pool) = migrated().await;
    let folder = tempfile::tempdir().unwrap();
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    {
        let _subscriber = idem_tests::subscribe(tracing_subscriber::registry().with(layer));
        for id in [1, 3] {
            trace(&pool, id).await.unwrap().into_inner();
        }
        let relay = Relay::new(pool.clone(), JsonLines::file(folder.path().join("events")));
        assert_eq!(relay.drain().await.unwrap().published, 2);
    }
    let spans = exporter.get_finished_spans().unwrap();
    let mut emitted: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "process payments.trace")
        .map(|span| (span.span_context.trace_id(), span.span_context.span_id()))
        .collect();
    let mut linked = Vec::new();
    for publish in spans.iter().filter(|span| span.name == "publish") {
        assert_eq!(publish.span_kind, SpanKind::Producer);
        for link in &publish.links.links {
            assert!(link.span_context.is_remote());
            linked.push((link.span_context.trace_id(), link.span_context.span_id()));
        }
    }
    emitted.sort_unstable_by_key(|(_, span)| span.to_bytes());
    linked.sort_unstable_by_key(|(_, span)| span.to_bytes());
    assert_eq!((linked.len(), linked), (2, emitted));
}
