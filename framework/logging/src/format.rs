//! A record as one line of text, in each of the formats.

use std::fmt::Write;

use crate::config::Format;
use crate::level::Level;
use crate::record::{FieldValue, Record};

/// Whether the format `pretty` may use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colors {
    /// When the sink is a terminal.
    Auto,
    /// Not at all, as `NO_COLOR` in the environment demands.
    Never,
}

/// How one logger writes its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Tskv,
    Json,
    Pretty,
    PrettyColored,
}

impl Style {
    pub(crate) fn of(format: Format, colored: bool) -> Style {
        match format {
            Format::Tskv => Style::Tskv,
            Format::Json => Style::Json,
            Format::Pretty if colored => Style::PrettyColored,
            Format::Pretty => Style::Pretty,
        }
    }

    /// The line with its line feed.
    pub(crate) fn line(self, record: &Record) -> String {
        let mut line = match self {
            Style::Tskv => tskv(record),
            Style::Json => serde_json::to_string(record).expect("the keys are text and no value can fail"),
            Style::Pretty => pretty(record, Paint::None),
            Style::PrettyColored => pretty(record, Paint::Ansi),
        };
        line.push('\n');
        line
    }
}

fn tskv(record: &Record) -> String {
    let mut line = String::with_capacity(256);
    line.push_str("tskv");
    let mut pair = |key: &str, value: &str| {
        line.push('\t');
        tskv_escape(&mut line, key, Part::Key);
        line.push('=');
        tskv_escape(&mut line, value, Part::Value);
    };
    pair("timestamp", &record.timestamp());
    pair("level", record.level().upper());
    pair("module", &record.module());
    for (name, value) in record.fields.iter() {
        match value {
            FieldValue::Text(value) => pair(name, value),
            value => pair(name, &value.to_string()),
        }
    }
    pair("text", &record.text);
    line
}

#[derive(PartialEq, Eq)]
enum Part {
    Key,
    Value,
}

fn tskv_escape(line: &mut String, text: &str, part: Part) {
    for character in text.chars() {
        match character {
            '\t' => line.push_str("\\t"),
            '\r' => line.push_str("\\r"),
            '\n' => line.push_str("\\n"),
            '\0' => line.push_str("\\0"),
            '\\' => line.push_str("\\\\"),
            '=' if part == Part::Key => line.push_str("\\="),
            character => line.push(character),
        }
    }
}

#[derive(Clone, Copy)]
enum Paint {
    None,
    Ansi,
}

impl Paint {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Paint::None => text.to_owned(),
            Paint::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// `time LEVEL component: text key=value ... (target)`; the file and line are left to the machine formats.
fn pretty(record: &Record, paint: Paint) -> String {
    let level = record.level();
    let color = match level {
        Level::Trace | Level::Debug => "2",
        Level::Info | Level::None => "32",
        Level::Warning => "33",
        Level::Error | Level::Critical => "31",
    };
    let mut line = format!(
        "{} {} ",
        paint.paint("2", &record.timestamp()),
        paint.paint(color, &format!("{:<7}", level.upper()))
    );
    if let Some(component) = record.fields.get("component") {
        write!(line, "{}: ", one_line(&component.to_string())).expect(INFALLIBLE);
    }
    line.push_str(&one_line(&record.text));
    for (name, value) in record.fields.iter().filter(|(name, _)| *name != "component") {
        write!(line, " {}={}", one_line(name), pretty_value(value)).expect(INFALLIBLE);
    }
    write!(line, " {}", paint.paint("2", &format!("({})", record.metadata.target()))).expect(INFALLIBLE);
    line
}

fn pretty_value(value: &FieldValue) -> String {
    match value {
        FieldValue::Text(text) if text.is_empty() || text.contains([' ', '"', '=']) => format!("{text:?}"),
        value => one_line(&value.to_string()),
    }
}

/// Control characters would break the line, or command the terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_debug());
        } else {
            line.push(character);
        }
    }
    line
}

const INFALLIBLE: &str = "writing to a string does not fail";
