//! What a schema expects and what was found, in words.

use std::str::FromStr;

use serde_json::{Number, Value};

use crate::nearest::nearest;
use crate::node::Kind;
use crate::{ByteSize, HumanDuration, byte_size, duration};

type Part<'a> = &'a serde_json::Map<String, Value>;

/// Longest text quoted from a configuration, in characters.
const QUOTED_CHARS_MAX: usize = 60;

/// Whether a value is of a type that a schema allows.
pub(crate) fn accepts(part: Part<'_>, kind: &Kind) -> bool {
    let types = types(part);
    types.is_empty()
        || types.iter().any(|expected| match kind {
            Kind::Null => *expected == "null",
            Kind::Bool(_) => *expected == "boolean",
            Kind::Number(number) => *expected == "number" || (*expected == "integer" && !number.is_f64()),
            Kind::String(_) => *expected == "string",
            Kind::List(_) => *expected == "array",
            Kind::Map(_) => *expected == "object",
        })
}

/// Whether a scalar is within the bounds and of the format that a schema allows.
pub(crate) fn is_within(part: Part<'_>, kind: &Kind) -> bool {
    match kind {
        Kind::Number(number) => in_range(part, number) && format_fits(part, &number.to_string()),
        Kind::String(text) => {
            let n_chars = text.chars().count();
            let (low, high) = bounds(part, "minLength", "maxLength");
            low <= n_chars && high.is_none_or(|high| n_chars <= high) && format_fits(part, text)
        }
        Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Map(_) => true,
    }
}

/// What a value written with a unit should be, unless it is within the `formatMinimum` and `formatMaximum` of the schemas
/// that apply to it. These words are those of <https://github.com/json-schema-org/json-schema-vocabularies>.
pub(crate) fn out_of_format_bounds(parts: &[Part<'_>], kind: &Kind) -> Option<String> {
    let text = match kind {
        Kind::Number(number) => number.to_string(),
        Kind::String(text) => text.clone(),
        Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Map(_) => return None,
    };
    match format(parts)? {
        duration::FORMAT => out_of_bounds::<HumanDuration>(parts, "a duration", &text),
        byte_size::FORMAT => out_of_bounds::<ByteSize>(parts, "a size", &text),
        _ => None,
    }
}

fn out_of_bounds<T: FromStr + PartialOrd>(parts: &[Part<'_>], noun: &str, text: &str) -> Option<String> {
    let bound = |word| parts.iter().find_map(|part| part.get(word)?.as_str());
    let (low, high) = (bound("formatMinimum"), bound("formatMaximum"));
    let read = |text: &str| text.parse::<T>().ok();
    let value = read(text)?;
    let is_low = low.and_then(read).is_some_and(|low| value < low);
    let is_high = high.and_then(read).is_some_and(|high| high < value);
    (is_low || is_high).then(|| match (low, high) {
        (Some(low), Some(high)) => format!("{noun} from `{low}` to `{high}`"),
        (Some(low), None) => format!("{noun} of at least `{low}`"),
        (_, high) => format!("{noun} of at most `{}`", high.unwrap_or_default()),
    })
}

fn format<'a>(parts: &[Part<'a>]) -> Option<&'a str> {
    parts.iter().find_map(|part| part.get("format")?.as_str())
}

/// Bounds of a count.
pub(crate) fn bounds(part: Part<'_>, low: &str, high: &str) -> (usize, Option<usize>) {
    let bound = |word| part.get(word).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
    (bound(low).unwrap_or(0), bound(high))
}

/// How many there should be, unless `n` is right.
pub(crate) fn units(low: usize, high: Option<usize>, n: usize, unit: &str) -> Option<String> {
    let plural = |n| if n == 1 { format!("{n} {unit}") } else { format!("{n} {unit}s") };
    match high {
        _ if n < low => Some(format!("at least {}", plural(low))),
        Some(high) if high < n => Some(format!("at most {}", plural(high))),
        _ => None,
    }
}

/// The only values a schema allows, if it lists them.
pub(crate) fn literals(part: Part<'_>) -> Option<Vec<Value>> {
    if let Some(value) = part.get("const") {
        return Some(vec![value.clone()]);
    }
    part.get("enum").and_then(Value::as_array).cloned()
}

/// The complaint that a value is none of those allowed.
pub(crate) fn one_of(allowed: &[Value], kind: &Kind, secret: bool) -> String {
    let mut message = format!("{}; found {}", alternatives(allowed), found(kind, secret));
    if let (Kind::String(text), false) = (kind, secret)
        && let Some(near) = nearest(text, allowed.iter().filter_map(Value::as_str))
    {
        message.push_str(&format!("; did you mean `{near}`?"));
    }
    message
}

/// The values allowed.
pub(crate) fn alternatives(allowed: &[Value]) -> String {
    let names: Vec<_> = allowed.iter().filter(|value| !value.is_null()).map(quote).collect();
    match names.as_slice() {
        [name] => format!("expected {name}"),
        names => format!("expected one of {}", names.join(", ")),
    }
}

/// What schemas that apply to the same value expect of it.
pub(crate) fn describe(parts: &[Part<'_>]) -> String {
    match format(parts) {
        Some(duration::FORMAT) => return duration::EXPECTED.to_owned(),
        Some(byte_size::FORMAT) => return byte_size::EXPECTED.to_owned(),
        _ => {}
    }
    if let Some(allowed) = parts.iter().find_map(|part| literals(part)) {
        return alternatives(&allowed).replacen("expected ", "", 1);
    }
    let mut words = Vec::new();
    for (part, kind) in parts.iter().flat_map(|part| types(part).into_iter().map(move |kind| (*part, kind))) {
        let word = describe_type(part, kind);
        if kind != "null" && !words.contains(&word) {
            words.push(word);
        }
    }
    if words.is_empty() { "nothing".to_owned() } else { words.join(" or ") }
}

fn describe_type(part: Part<'_>, kind: &str) -> String {
    match kind {
        "boolean" => "`true` or `false`".to_owned(),
        "integer" | "number" => {
            let noun = if kind == "integer" { "an integer" } else { "a number" };
            match range(part) {
                (Some(low), Some(high)) => format!("{noun} from {low} to {high}"),
                (Some(low), None) => format!("{noun} of at least {low}"),
                (None, Some(high)) => format!("{noun} of at most {high}"),
                (None, None) => noun.to_owned(),
            }
        }
        "string" => match bounds(part, "minLength", "maxLength") {
            (0, None) => "a string".to_owned(),
            (1, None) => "a string that is not empty".to_owned(),
            (low, None) => format!("a string of at least {low} characters"),
            (low, Some(high)) => format!("a string of {low} to {high} characters"),
        },
        "array" => "a list".to_owned(),
        "object" => match part.get("required").and_then(Value::as_array).map(Vec::as_slice) {
            Some([key]) => format!("a map with {}", quote(key)),
            _ => "a map".to_owned(),
        },
        other => format!("a value of type {other}"),
    }
}

/// What was found. Secrets are named by their type only.
pub(crate) fn found(kind: &Kind, secret: bool) -> String {
    match kind {
        Kind::Null => "nothing".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a map".to_owned(),
        Kind::Bool(_) if secret => "a boolean".to_owned(),
        Kind::Number(_) if secret => "a number".to_owned(),
        Kind::String(_) if secret => "a string".to_owned(),
        Kind::Bool(value) => format!("`{value}`"),
        Kind::Number(number) => format!("`{number}`"),
        Kind::String(text) if text.is_empty() => "an empty string".to_owned(),
        Kind::String(text) if looks_like_another_type(text) => format!("the string `{text}`"),
        Kind::String(text) => {
            let line = text.lines().next().unwrap_or_default();
            let mut quoted: String = line.chars().take(QUOTED_CHARS_MAX).collect();
            if quoted.len() < text.len() {
                quoted.push('…');
            }
            format!("`{quoted}`")
        }
    }
}

fn looks_like_another_type(text: &str) -> bool {
    matches!(text, "true" | "false" | "null" | "~") || text.parse::<f64>().is_ok()
}

fn quote(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn types(part: Part<'_>) -> Vec<&str> {
    match part.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ if part.contains_key("properties") => vec!["object"],
        _ => Vec::new(),
    }
}

fn format_fits(part: Part<'_>, text: &str) -> bool {
    match part.get("format").and_then(Value::as_str) {
        Some(duration::FORMAT) => text.parse::<HumanDuration>().is_ok(),
        Some(byte_size::FORMAT) => text.parse::<ByteSize>().is_ok(),
        _ => true,
    }
}

fn in_range(part: Part<'_>, number: &Number) -> bool {
    let (low, high) = range(part);
    low.is_none_or(|low| at_most(&low, number)) && high.is_none_or(|high| at_most(number, &high))
}

/// Both ends, stated or given by the width of an integer.
fn range(part: Part<'_>) -> (Option<Number>, Option<Number>) {
    let stated = |word| match part.get(word) {
        Some(Value::Number(number)) => Some(number.clone()),
        _ => None,
    };
    let (low, high): (Option<Number>, Option<Number>) = match part.get("format").and_then(Value::as_str) {
        Some("uint8") => (None, Some(u8::MAX.into())),
        Some("uint16") => (None, Some(u16::MAX.into())),
        Some("uint32") => (None, Some(u32::MAX.into())),
        Some("int8") => (Some(i8::MIN.into()), Some(i8::MAX.into())),
        Some("int16") => (Some(i16::MIN.into()), Some(i16::MAX.into())),
        Some("int32") => (Some(i32::MIN.into()), Some(i32::MAX.into())),
        _ => (None, None),
    };
    (stated("minimum").or(low), stated("maximum").or(high))
}

fn at_most(low: &Number, high: &Number) -> bool {
    match (low.as_i128(), high.as_i128()) {
        (Some(low), Some(high)) => low <= high,
        _ => low.as_f64() <= high.as_f64(),
    }
}
