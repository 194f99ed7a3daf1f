//! The schemas as another implementation of JSON Schema reads them, and the texts that they are for.

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use jsonschema::Validator;
use mainspring_config::Source;
use mainspring_dynamic_config::{DynamicConfigClient, DynamicConfigClientUpdater};
use mainspring_kafka::{
    KafkaConsumerComponent, KafkaEmbeddedComponent, KafkaExactlyOnceComponent, KafkaProducerComponent,
    KafkaTransactionalProducerComponent,
};
use mainspring_server::{HttpHandlerComponent, PingHandler};
use serde_json::{Value, json};

use super::readme;
use crate::{CommonComponents, ComponentList};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// Every component of the framework.
fn components() -> ComponentList {
    ComponentList::common_server()
        .append_default::<HttpHandlerComponent<PingHandler>>()
        .append_default::<DynamicConfigClient>()
        .append_default::<DynamicConfigClientUpdater>()
        .append_default::<KafkaEmbeddedComponent>()
        .append_default::<KafkaProducerComponent>()
        .append_default::<KafkaConsumerComponent>()
        .append_default::<KafkaTransactionalProducerComponent>()
        .append_default::<KafkaExactlyOnceComponent>()
}

/// The files of a directory with this ending.
fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    files.sort();
    assert!(!files.is_empty(), "nothing in {directory}");
    files
}

fn schema(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A YAML text as it is written, with nothing substituted.
fn written(text: &str) -> Value {
    mainspring_config::parse(&Source::new("x.yaml", text)).unwrap().read().unwrap()
}

#[track_caller]
fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::new(schema).unwrap()
}

/// What the validator has against a text.
fn complaints(validator: &Validator, text: &str) -> Vec<String> {
    validator.iter_errors(&written(text)).map(|error| format!("{}: {error}", error.instance_path)).collect()
}

#[test]
fn schemas_of_the_components_are_the_committed_ones() {
    let mut names = Vec::new();
    for (name, schema) in components().section_schemas() {
        let file = format!("../../../../schemas/components/{name}.schema.json");
        expect_file![file].assert_eq(&format!("{schema:#}\n"));
        names.push(format!("{name}.schema.json"));
    }
    names.sort();
    let committed = files("schemas/components", ".json");
    let committed: Vec<_> =
        committed.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(committed, names, "a schema of no component is left");
}

#[test]
fn committed_schemas_are_schemas() {
    for path in [files("schemas", ".schema.json"), files("schemas/components", ".schema.json")].concat() {
        let schema = schema(&path);
        let checked = jsonschema::draft202012::meta::validate(&schema);
        assert!(checked.is_ok(), "{}: {checked:?}", path.display());
        validator(&schema);
    }
}

#[test]
fn committed_configurations_fit_the_schemas_that_their_first_lines_name() {
    for path in files("configs", ".yaml") {
        let text = fs::read_to_string(&path).unwrap();
        let named = text.lines().next().unwrap().strip_prefix("# yaml-language-server: $schema=");
        let named = named.unwrap_or_else(|| panic!("{} names no schema", path.display()));
        let schema = schema(&path.parent().unwrap().join(named));
        assert_eq!(complaints(&validator(&schema), &text), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn configuration_in_the_readme_fits_the_schema_of_its_service() {
    let validator = validator(&readme::components().service_schema());
    assert_eq!(complaints(&validator, readme::block("yaml")), Vec::<String>::new());
    let wrong = readme::block("yaml").replace("group_id:", "group:");
    assert!(!complaints(&validator, &wrong).is_empty());
}

/// Whether the schema of `kafka-consumer` takes a section.
fn consumer_takes(section: &str) -> bool {
    let schemas = components();
    let schema = schemas.section_schemas().find(|(name, _)| *name == "kafka-consumer").unwrap().1;
    complaints(&validator(&schema), section).is_empty()
}

#[test]
fn references_are_accepted_wherever_a_value_is() {
    let rest = "security_protocol: PLAINTEXT\ntopics: [a]\n";
    for right in [
        "group_id: a",
        "group_id#env: GROUP",
        "group_id#file: group.txt\ngroup_id#fallback: a",
        "group_id: $group",
        "group_id: a\nmax_batch_size: $size",
        "group_id: a\nmax_batch_size#env: SIZE\nmax_batch_size#fallback: 7",
        "group_id: a\npoll_timeout: $timeout",
        "group_id: a\npoll_timeout: 100ms",
        "group_id: a\npoll_timeout: 3",
        "group_id: a\nauto_offset_reset: $reset",
        "group_id: a\nload-enabled: $on",
    ] {
        assert!(consumer_takes(&format!("{rest}{right}")), "{right}");
    }
    for wrong in [
        "group: a",
        "group_id#fallback: a",
        "group_id: a\nmax_batch_sise#env: SIZE",
        "group_id: a\nmax_batch_size: many",
        "group_id: a\npoll_timeout: 100us",
        "group_id: a\nauto_offset_reset: smalest",
        "group_id: a\nmax_batch_size#env: 7",
    ] {
        assert!(!consumer_takes(&format!("{rest}{wrong}")), "{wrong}");
    }
    assert!(consumer_takes("group_id: a\nsecurity_protocol: PLAINTEXT\ntopics: [$topic, b]"));
    assert!(consumer_takes("group_id: a\nsecurity_protocol: $protocol\ntopics: $topics"));
}

#[test]
fn section_without_required_keys_may_be_empty() {
    let validator = validator(&components().service_schema());
    let text = |sections: &str| {
        let start =
            "components_manager:\n  default_task_processor: a\n  task_processors: {a: {worker_threads: 1}}\n";
        format!("{start}  components:\n{sections}")
    };
    assert_eq!(complaints(&validator, &text("    secdist:\n    kafka-embedded:\n")), Vec::<String>::new());
    assert!(!complaints(&validator, &text("    kafka-consumer:\n")).is_empty());
}

/// A schema with all that it refers to and chooses from.
fn parts<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let target = schema["$ref"].as_str().and_then(|target| root.pointer(target.strip_prefix('#')?));
    let branches = ["anyOf", "oneOf", "allOf"].iter().flat_map(|word| schema[word].as_array()).flatten();
    let below = target.into_iter().chain(branches).flat_map(|part| parts(root, part));
    std::iter::once(schema).chain(below).collect()
}

/// Whether somebody who sees the schema knows what a value may look like.
fn shows_a_value(root: &Value, schema: &Value) -> bool {
    parts(root, schema).into_iter().any(|part| {
        let kinds = &part["type"];
        let is_plain =
            |plain| kinds == plain || kinds.as_array().is_some_and(|kinds| kinds.contains(&json!(plain)));
        let default = &part["default"];
        let has_default = !default.is_null() && *default != json!("");
        ["examples", "enum", "const"].iter().any(|word| !part[word].is_null())
            || ["boolean", "object"].into_iter().any(is_plain)
            || has_default
    })
}

#[test]
fn every_option_has_a_description_and_shows_what_its_value_may_look_like() {
    for (name, schema) in components().section_schemas() {
        let definitions = schema["$defs"].as_object().into_iter().flatten();
        let definitions = definitions.map(|(owner, definition)| (owner.as_str(), definition));
        for (owner, owning) in definitions.chain([(name, &schema)]) {
            let properties = &owning["properties"];
            for (key, option) in properties.as_object().into_iter().flatten() {
                let description = option["description"].as_str().unwrap_or_default();
                assert!(10 < description.len(), "`{owner}.{key}` has no description");
                assert!(shows_a_value(&schema, option), "`{owner}.{key}` shows no value: {option:#}");
            }
        }
    }
}
