//! Small strict parsers of both text formats: they accept less than scrapers do, and name what they dislike. The
//! tests of the monitor use them too.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(crate) struct ParsedSample {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: String,
}

/// What differs between the formats.
struct Rules {
    /// The descriptors of a family, in their order; those after the first `TYPE` or `HELP` may be missing.
    descriptors: &'static [&'static str],
    suffixes: fn(&str) -> Option<&'static [&'static str]>,
    quotes_in_help: Quotes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Bare,
    Escaped,
}

const OPENMETRICS: Rules = Rules {
    descriptors: &["TYPE", "UNIT", "HELP"],
    suffixes: |kind| match kind {
        "counter" => Some(&["_total"]),
        "gauge" | "stateset" => Some(&[""]),
        "info" => Some(&["_info"]),
        "histogram" => Some(&["_bucket", "_sum", "_count"]),
        "summary" => Some(&["", "_sum", "_count"]),
        _ => None,
    },
    quotes_in_help: Quotes::Escaped,
};

const TEXT: Rules = Rules {
    descriptors: &["HELP", "TYPE"],
    suffixes: |kind| match kind {
        "counter" | "gauge" => Some(&[""]),
        "histogram" => Some(&["_bucket", "_sum", "_count"]),
        "summary" => Some(&["", "_sum", "_count"]),
        _ => None,
    },
    quotes_in_help: Quotes::Bare,
};

/// Checks the order of descriptors, suffixes, units, contiguous families, unique series, histograms and the end mark.
pub(crate) fn parse_openmetrics(text: &str) -> Result<Vec<ParsedSample>, String> {
    parse(text.strip_suffix("# EOF\n").ok_or("no end mark")?, &OPENMETRICS)
}

/// The same for the text format 0.0.4, which has no end mark and names the samples in its descriptors.
pub(crate) fn parse_text(text: &str) -> Result<Vec<ParsedSample>, String> {
    parse(text, &TEXT)
}

#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    /// How many of the descriptors have been passed.
    descriptors: usize,
}

fn parse(text: &str, rules: &Rules) -> Result<Vec<ParsedSample>, String> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("no line feed at the end".to_owned());
    }
    let mut samples: Vec<ParsedSample> = Vec::new();
    let (mut families, mut series) = (BTreeSet::new(), BTreeSet::new());
    let mut family = Family::default();
    let mut first_of_family = 0;
    for line in text.split_terminator('\n') {
        let at_line = |problem: &str| format!("{problem}: {line:?}");
        if let Some(descriptor) = line.strip_prefix("# ") {
            let [keyword, name, rest] = descriptor.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                return Err(at_line("a comment has three parts"));
            };
            if keyword == rules.descriptors[0] {
                check_histogram(&family, &samples[first_of_family..])?;
                first_of_family = samples.len();
                if !families.insert(name.to_owned()) {
                    return Err(at_line("family appears twice"));
                }
                family = Family { name: name.to_owned(), ..Family::default() };
            }
            descriptor_of(&mut family, rules, keyword, name, rest).map_err(at_line)?;
            continue;
        }
        let sample = parse_sample(line).map_err(at_line)?;
        let suffixes = (rules.suffixes)(&family.kind).ok_or_else(|| at_line("unknown type"))?;
        match sample.name.strip_prefix(family.name.as_str()) {
            Some(suffix) if suffixes.contains(&suffix) => {}
            _ => return Err(at_line("sample does not belong to the family above it")),
        }
        if !series.insert((sample.name.clone(), sample.labels.clone())) {
            return Err(at_line("series appears twice"));
        }
        samples.push(sample);
    }
    check_histogram(&family, &samples[first_of_family..])?;
    Ok(samples)
}

fn descriptor_of(
    family: &mut Family,
    rules: &Rules,
    keyword: &str,
    name: &str,
    rest: &str,
) -> Result<(), &'static str> {
    let position = rules.descriptors.iter().position(|known| *known == keyword);
    let position = position.filter(|position| name == family.name && family.descriptors <= *position);
    family.descriptors = position.ok_or("descriptor out of place")? + 1;
    match keyword {
        "TYPE" => rest.clone_into(&mut family.kind),
        "UNIT" if !name.ends_with(&format!("_{rest}")) => return Err("the name does not end in the unit"),
        "HELP" => drop(unescape(rest, rules.quotes_in_help)?),
        _ => {}
    }
    Ok(())
}

/// Of each series: cumulative buckets under rising bounds, the last being `+Inf` and the count; and a sum.
fn check_histogram(family: &Family, samples: &[ParsedSample]) -> Result<(), String> {
    if family.kind != "histogram" {
        return Ok(());
    }
    #[derive(Default)]
    struct Series {
        buckets: Vec<(f64, f64)>,
        sum: Option<f64>,
        count: Option<f64>,
    }
    let mut by_labels = BTreeMap::<Vec<(String, String)>, Series>::new();
    for sample in samples {
        let mut labels = sample.labels.clone();
        let bound = labels.iter().position(|(name, _)| name == "le").map(|idx| labels.remove(idx).1);
        let value = Some(sample.value.parse().expect("checked with the line"));
        let series = by_labels.entry(labels).or_default();
        match sample.name.strip_prefix(family.name.as_str()) {
            Some("_sum") => series.sum = value,
            Some("_count") => series.count = value,
            _ => {
                let bound = bound.and_then(|bound| bound.parse().ok()).ok_or("a bucket without `le`")?;
                series.buckets.extend(value.map(|value| (bound, value)));
            }
        }
    }
    for (labels, Series { buckets, sum, count }) in by_labels {
        let fail = |problem: &str| Err(format!("{problem}: {} {labels:?}", family.name));
        let pairs = || buckets.windows(2).map(|pair| (pair[0], pair[1]));
        if pairs().any(|((lower, _), (upper, _))| upper <= lower) {
            return fail("bounds do not rise");
        }
        if pairs().any(|((_, lower), (_, upper))| upper < lower) {
            return fail("buckets are not cumulative");
        }
        let (Some(count), Some(_)) = (count, sum) else {
            return fail(if count.is_none() { "no count" } else { "no sum" });
        };
        match buckets.last() {
            Some((bound, in_all)) if bound.is_infinite() && *in_all == count => {}
            Some((bound, _)) if bound.is_infinite() => return fail("`+Inf` is not the count"),
            _ => return fail("no `+Inf` bucket"),
        }
    }
    Ok(())
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
            labels.push((label.to_owned(), unescape(raw, Quotes::Escaped)?));
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

fn unescape(text: &str, quotes: Quotes) -> Result<String, &'static str> {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some('\\') => plain.push('\\'),
                Some('"') if quotes == Quotes::Escaped => plain.push('"'),
                _ => return Err("unknown escape"),
            },
            '"' if quotes == Quotes::Escaped => return Err("bare quote"),
            character => plain.push(character),
        }
    }
    Ok(plain)
}
