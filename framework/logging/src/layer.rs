//! Between `tracing` and the loggers: which events count, and how they become records.

use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record as Recorded};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::local_level::{Threshold, is_carrier};
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

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.shared.enabled(metadata, || {
            let span = context.lookup_current()?;
            span.extensions().get::<Threshold>().copied()
        })
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("a new span is registered before layers see it");
        if self.shared.local_levels.least().is_some() {
            // Inherited when the span is made, so that an event looks at one span only.
            let of_parent = || span.parent()?.extensions().get::<Threshold>().copied();
            if let Some(threshold) = Threshold::carried_by(attributes).or_else(of_parent) {
                span.extensions_mut().insert(threshold);
            }
        }
        if !is_carrier(attributes.metadata()) {
            let mut fields = Fields::default();
            attributes.record(&mut SpanVisitor(&mut fields));
            span.extensions_mut().insert(fields);
        }
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
