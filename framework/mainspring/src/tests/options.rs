//! The option tables in the components' READMEs are what their configurations' types say.
//!
//! A table stands between `<!-- options: name -->` and `<!-- end of options -->`; `UPDATE_EXPECT=1` writes it anew.

use expect_test::expect_file;
use mainspring_config::schema_of;
use serde_json::Value;

const END: &str = "<!-- end of options -->";

/// The document with each of these tables in its place.
#[track_caller]
fn with_tables(document: &str, tables: &[(&str, String)]) -> String {
    let mut text = document.to_owned();
    for (name, table) in tables {
        let begin = format!("<!-- options: {name} -->\n");
        let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no place for `{name}`"));
        let (_old, after) = rest.split_once(END).unwrap_or_else(|| panic!("`{name}` has no end"));
        text = format!("{before}{begin}{table}{END}{after}");
    }
    assert_eq!(text.matches(END).count(), tables.len(), "the document has places for other tables");
    text
}

/// A table of the options of a section, but for those that another table has.
fn table(schema: &Value, elsewhere: &Value) -> String {
    let mut rows = String::from("| key | default | meaning |\n|---|---|---|\n");
    add_rows(&mut rows, schema, schema, elsewhere, "");
    rows
}

fn add_rows(rows: &mut String, root: &Value, section: &Value, elsewhere: &Value, prefix: &str) {
    for (key, option) in section["properties"].as_object().into_iter().flatten() {
        if !elsewhere["properties"][key].is_null() {
            continue;
        }
        let kind = resolved(root, option);
        if kind["properties"].is_object() {
            add_rows(rows, root, kind, elsewhere, &format!("{prefix}{key}."));
            continue;
        }
        let is_required =
            section["required"].as_array().is_some_and(|keys| keys.iter().any(|name| name == key));
        let default = if is_required { "required".to_owned() } else { default(option) };
        let meaning =
            option["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        *rows += &format!("| `{prefix}{key}` | {default} | {meaning}{} |\n", choices(kind));
    }
}

/// The schema behind references and alternatives to `null`.
fn resolved<'a>(root: &'a Value, option: &'a Value) -> &'a Value {
    if let Some(target) = option["$ref"].as_str().and_then(|target| target.strip_prefix('#')) {
        return root.pointer(target).expect("schemars defines what it refers to");
    }
    let alternatives = option["anyOf"].as_array().into_iter().flatten();
    match alternatives.into_iter().find(|alternative| alternative["type"] != "null") {
        Some(alternative) => resolved(root, alternative),
        None => option,
    }
}

/// The schema's default; without one what the description says, such as that it is another key's.
fn default(option: &Value) -> String {
    match &option["default"] {
        Value::String(text) if !text.is_empty() => format!("`{text}`"),
        Value::Number(_) | Value::Bool(_) => format!("`{}`", option["default"]),
        _ => {
            let described = option["description"].as_str().unwrap_or_default().split_once("efault `");
            described
                .and_then(|(_, rest)| rest.split('`').next())
                .map_or(String::new(), |text| format!("`{text}`"))
        }
    }
}

/// What may be written, when it is one of a few words.
fn choices(kind: &Value) -> String {
    let listed = kind["enum"].as_array().into_iter().flatten();
    let described = kind["oneOf"].as_array().into_iter().flatten().flat_map(|one| match &one["const"] {
        Value::Null => one["enum"].as_array().into_iter().flatten().collect::<Vec<_>>(),
        word => vec![word],
    });
    let words: Vec<_> =
        listed.chain(described).filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
    if words.is_empty() { String::new() } else { format!(" One of {}.", words.join(", ")) }
}

#[test]
fn table_has_a_row_for_each_option() {
    let schema = serde_json::json!({
        "required": ["name"],
        "properties": {
            "flag": {"type": "boolean", "default": false, "description": "Whether\nit is."},
            "inner": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]},
            "name": {"type": "string", "description": "Its name."},
            "shared": {"type": "string"},
            "word": {"$ref": "#/$defs/Word", "description": "A word; default `b`."},
        },
        "$defs": {
            "Inner": {"properties": {"limit": {"default": 5, "description": "A | limit."}}},
            "Word": {"oneOf": [{"const": "a"}, {"const": "b"}]},
        },
    });
    let elsewhere = serde_json::json!({"properties": {"shared": {}}});
    expect_test::expect![[r#"
        | key | default | meaning |
        |---|---|---|
        | `flag` | `false` | Whether it is. |
        | `inner.limit` | `5` | A \| limit. |
        | `name` | required | Its name. |
        | `word` | `b` | A word; default `b`. One of `a`, `b`. |
    "#]]
    .assert_eq(&table(&schema, &elsewhere));
}

#[test]
fn options_of_the_server_are_in_its_readme() {
    let tables = [
        ("listener", table(&schema_of::<mainspring_server::ListenerConfig>(), &Value::Null)),
        ("handler", table(&schema_of::<mainspring_server::HandlerOptions>(), &Value::Null)),
    ];
    let document = include_str!("../../../../components/server/README.md");
    expect_file!["../../../../components/server/README.md"].assert_eq(&with_tables(document, &tables));
}

#[test]
fn options_of_the_monitor_are_in_its_readme() {
    let own = table(&schema_of::<mainspring_monitor::ServerMonitorConfig>(), &Value::Null);
    let document = include_str!("../../../../components/monitor/README.md");
    expect_file!["../../../../components/monitor/README.md"]
        .assert_eq(&with_tables(document, &[("handler-server-monitor", own)]));
}

#[test]
fn options_of_secdist_are_in_its_readme() {
    let tables = [
        ("secdist", table(&schema_of::<mainspring_secdist::SecdistConfig>(), &Value::Null)),
        ("default-secdist-provider", table(&schema_of::<mainspring_secdist::ProviderConfig>(), &Value::Null)),
    ];
    let document = include_str!("../../../../components/secdist/README.md");
    expect_file!["../../../../components/secdist/README.md"].assert_eq(&with_tables(document, &tables));
}

#[test]
fn options_of_the_dynamic_configuration_are_in_its_readme() {
    use mainspring_dynamic_config::{ClientConfig, StoreConfig, UpdaterConfig};

    let tables = [
        ("dynamic-config", table(&schema_of::<StoreConfig>(), &Value::Null)),
        ("dynamic-config-client", table(&schema_of::<ClientConfig>(), &Value::Null)),
        ("dynamic-config-client-updater", table(&schema_of::<UpdaterConfig>(), &Value::Null)),
    ];
    let document = include_str!("../../../../components/dynamic-config/README.md");
    expect_file!["../../../../components/dynamic-config/README.md"]
        .assert_eq(&with_tables(document, &tables));
}

#[cfg(feature = "kafka")]
#[test]
fn options_of_kafka_are_in_its_readme() {
    use mainspring_kafka::{
        CommonConfig, ConsumerConfig, EmbeddedConfig, ExactlyOnceConfig, ProducerConfig,
        TransactionalProducerConfig,
    };

    let client = schema_of::<CommonConfig>();
    let tables = [
        ("client", table(&client, &Value::Null)),
        ("kafka-producer", table(&schema_of::<ProducerConfig>(), &client)),
        ("kafka-consumer", table(&schema_of::<ConsumerConfig>(), &client)),
        (
            "kafka-transactional-producer",
            table(&schema_of::<TransactionalProducerConfig>(), &schema_of::<ProducerConfig>()),
        ),
        ("kafka-exactly-once", table(&schema_of::<ExactlyOnceConfig>(), &Value::Null)),
        ("kafka-embedded", table(&schema_of::<EmbeddedConfig>(), &Value::Null)),
    ];
    let document = include_str!("../../../../components/kafka/README.md");
    expect_file!["../../../../components/kafka/README.md"].assert_eq(&with_tables(document, &tables));
}
