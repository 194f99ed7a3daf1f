//! Between `tracing` and the loggers: which events count, and how they become records.

use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record as Recorded};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::logging::Shared;
use crate::record::{EventVisitor, Fields, Record, SpanVisitor};

pub(crate) struct LoggingLayer {
    pub(crate) shared: Arc<Shared>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LoggingLayer {
    /// Asked at each event: levels change at run time. The hint below keeps that off the disabled levels.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.shared.max_level().filter())
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.shared.enabled(metadata)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut SpanVisitor(&mut fields));
        let span = context.span(id).expect("a new span is registered before layers see it");
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Recorded<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("a span that records is open");
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(&mut SpanVisitor(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = String::new();
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.extend(of_span);
            }
        }
        event.record(&mut EventVisitor { text: &mut text, fields: &mut fields });
        self.shared.log(Record { time: self.shared.now(), metadata: event.metadata(), text, fields });
    }
}
