//! A small strict OpenMetrics parser: it accepts less than scrapers do, and names what it dislikes.

use std::collections::BTreeSet;

#[derive(Debug)]
pub(super) struct ParsedSample {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: String,
}

/// Checks the order of descriptors, suffixes, units, contiguous families, unique series and the end mark.
pub(super) fn parse_openmetrics(text: &str) -> Result<Vec<ParsedSample>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("no end mark")?;
    let mut samples: Vec<ParsedSample> = Vec::new();
    let mut families = BTreeSet::new();
    let mut series = BTreeSet::new();
    let mut family: Option<(String, String)> = None;
    let mut descriptors = 0;
    for line in body.split_terminator('\n') {
        let fail = |problem: &str| Err(format!("{problem}: {line:?}"));
        if let Some(descriptor) = line.strip_prefix("# ") {
            let mut words = descriptor.splitn(3, ' ');
            let (keyword, name, rest) = (words.next(), words.next(), words.next());
            let (Some(keyword), Some(name), Some(rest)) = (keyword, name, rest) else {
                return fail("a descriptor has three parts");
            };
            match (keyword, &family) {
                ("TYPE", _) => {
                    if !families.insert(name.to_owned()) {
                        return fail("family appears twice");
                    }
                    family = Some((name.to_owned(), rest.to_owned()));
                    descriptors = 1;
                }
                ("UNIT", Some((known, _))) if known == name && descriptors == 1 => {
                    if !name.ends_with(&format!("_{rest}")) {
                        return fail("the name does not end in the unit");
                    }
                    descriptors = 2;
                }
                ("HELP", Some((known, _))) if known == name && descriptors < 3 => {
                    unescape(rest).map_err(|problem| format!("{problem}: {line:?}"))?;
                    descriptors = 3;
                }
                _ => return fail("descriptor out of place"),
            }
            continue;
        }
        let sample = parse_sample(line).map_err(|problem| format!("{problem}: {line:?}"))?;
        let Some((family_name, kind)) = &family else { return fail("sample without family") };
        let suffixes: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" | "stateset" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "summary" => &["", "_sum", "_count"],
            _ => return fail("unknown type"),
        };
        match sample.name.strip_prefix(family_name.as_str()) {
            Some(suffix) if suffixes.contains(&suffix) => {}
            _ => return fail("sample does not belong to the family above it"),
        }
        if !series.insert((sample.name.clone(), sample.labels.clone())) {
            return fail("series appears twice");
        }
        samples.push(sample);
    }
    Ok(samples)
}

fn parse_sample(line: &str) -> Result<ParsedSample, &'static str> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("bad name");
    }
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("label without value")?;
            if label.is_empty() || !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err("bad label name");
            }
            let (raw, after) = split_at_quote(after).ok_or("value without end")?;
            labels.push((label.to_owned(), unescape(raw)?));
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = after.strip_prefix('}').ok_or("labels without end")?;
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    value.parse::<f64>().map_err(|_| "value is not a number")?;
    Ok(ParsedSample { name: name.to_owned(), labels, value: value.to_owned() })
}

fn split_at_quote(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (idx, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some((text.get(..idx)?, text.get(idx + 1..)?)),
            _ => {}
        }
    }
    None
}

fn unescape(text: &str) -> Result<String, &'static str> {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some(escaped @ ('\\' | '"')) => plain.push(escaped),
                _ => return Err("unknown escape"),
            },
            '"' => return Err("bare quote"),
            character => plain.push(character),
        }
    }
    Ok(plain)
}
