//! What every component promises, as one call per component.

use mainspring_core::{Component, ComponentList};
use serde_json::Value;

use crate::TestService;

/// Holds `C`, with this section and in a service of `others`, to what every component promises:
///
/// - its section loads, and a key that it does not know is refused;
/// - every option has a description, which documents are made from;
/// - it loads and stops, twice in one process, and a stop leaves no task and no metric of it behind.
///
/// `with_others` adds the sections that the other components need.
///
/// # Panics
/// When it breaks a promise, saying which.
#[track_caller]
pub fn check<C: Component>(
    others: &ComponentList,
    with_others: impl Fn(crate::TestServiceBuilder) -> crate::TestServiceBuilder,
    section: &str,
) {
    let service = |section: &str| {
        let list = others.clone().append_default::<C>();
        with_others(TestService::new(list)).with_component(C::DEFAULT_NAME, section)
    };
    every_option_is_described(C::DEFAULT_NAME, &mainspring_config::schema_of::<C::Config>());
    let problems = service(&with_unknown_key(section)).check().err().unwrap_or_default();
    let refusal = problems.iter().find(|problem| problem.message().contains("unknown key `no_such_key`"));
    assert!(
        refusal.is_some_and(|problem| problem.path() == C::DEFAULT_NAME),
        "`{}` accepts a key that it does not know; problems: {problems}",
        C::DEFAULT_NAME
    );
    for _ in 0..2 {
        let running = service(section).start();
        let metrics = running.handle().metrics().clone();
        let report = running.stop();
        assert_eq!(report.unfinished, Vec::<String>::new(), "`{}` leaves work behind", C::DEFAULT_NAME);
        let left = mainspring_metrics::prometheus_text(&metrics.snapshot());
        let own = format!("component=\"{}\"", C::DEFAULT_NAME);
        assert!(!left.contains(&own), "`{}` leaves metrics behind:\n{left}", C::DEFAULT_NAME);
    }
}

fn with_unknown_key(section: &str) -> String {
    match section.trim().strip_prefix('{') {
        Some(rest) => format!("{{no_such_key: 1, {rest}"),
        None => format!("{section}\nno_such_key: 1"),
    }
}

#[track_caller]
fn every_option_is_described(name: &str, schema: &Value) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, option) in properties.into_iter().flatten() {
        assert!(
            option.get("description").is_some() || option.get("$ref").is_some(),
            "option `{key}` of `{name}` has no description"
        );
    }
}
