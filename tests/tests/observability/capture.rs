//! A subscriber that keeps everything, down to TRACE.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

pub(crate) type Fields = BTreeMap<String, String>;

/// A span or an event.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) name: &'static str,
    pub(crate) fields: Fields,
    /// The span that it stands in, by its place among all entries.
    pub(crate) within: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Capture(Arc<Mutex<Vec<Entry>>>);

/// Where a span's entry is.
struct Place(usize);

impl Capture {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }

    /// The spans of this crate, in the order of their starts.
    pub(crate) fn spans(&self) -> Vec<Entry> {
        let is_span = |entry: &Entry| {
            entry.target.starts_with("idem_runtime") && !entry.fields.contains_key("message")
        };
        self.entries().into_iter().filter(is_span).collect()
    }

    fn push(&self, entry: Entry) -> usize {
        let mut entries = self.0.lock().unwrap();
        entries.push(entry);
        entries.len() - 1
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Visitor(&mut fields));
        let span = context.span(id).unwrap();
        let metadata = attributes.metadata();
        let within = span
            .parent()
            .and_then(|parent| parent.extensions().get::<Place>().map(|place| place.0));
        let place = self.push(Entry {
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            name: metadata.name(),
            fields,
            within,
        });
        span.extensions_mut().insert(Place(place));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let place = span.extensions().get::<Place>().unwrap().0;
        values.record(&mut Visitor(&mut self.0.lock().unwrap()[place].fields));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Visitor(&mut fields));
        let metadata = event.metadata();
        let within = context
            .event_span(event)
            .and_then(|span| span.extensions().get::<Place>().map(|place| place.0));
        self.push(Entry {
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            name: metadata.name(),
            fields,
            within,
        });
    }
}

struct Visitor<'a>(&'a mut Fields);

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
