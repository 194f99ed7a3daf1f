//! YAML text to a located tree.
//!
//! `saphyr-parser` finds the structure and the places, `serde_yaml` decides what a plain scalar means, so `0x10` is a
//! number and `yes` a string, as for every other user of `serde_yaml`. Anchors, aliases and merge keys (`<<`) work;
//! places inside an anchor point at the anchor. Problems quote keys but no values, which may be secrets. Everything is
//! bounded, so that no text can make the reader hang.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::node::{Entry, Kind, Node};
use crate::problem::{Place, Problem, Problems};
use crate::section::{Section, join};
use crate::source::Source;
use crate::work;

/// Largest text of one file or variable, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest key, in bytes: the keys around a value are its path, which every problem repeats.
pub(crate) const KEY_BYTES_MAX: usize = 1024;
/// Deepest nesting of maps and lists, aliases written out.
pub(crate) const DEPTH_MAX: usize = 64;
/// Most values in one configuration, aliases and variables written out.
pub(crate) const NODES_MAX: usize = 500_000;

/// Parses a text as it stands: no variables, no `#env`, no `#file`. JSON is YAML.
///
/// # Errors
/// Syntax errors (only the first: what follows one means nothing), duplicate keys, unsupported tags, exceeded limits.
pub fn parse(source: &Source) -> Result<Section, Problems> {
    let mut problems = Problems::new();
    let node = parse_node(source, &mut problems);
    problems.into_result()?;
    Ok(Section::root(node))
}

/// The tree as far as the text allows one; whatever is wrong goes to `problems`.
pub(crate) fn parse_node(source: &Source, problems: &mut Problems) -> Arc<Node> {
    let mut builder = Builder {
        file: Arc::clone(&source.name),
        frames: Vec::new(),
        anchors: HashMap::new(),
        size: 0,
        root: None,
        problems,
    };
    let failed = match builder.run(&source.text) {
        Ok(()) => false,
        Err(problem) => {
            builder.problems.push(problem);
            true
        }
    };
    let start = builder.place(1, 1, 1);
    let absent = if failed { Node::broken } else { |place| Node::new(Kind::Null, place) };
    builder.root.unwrap_or_else(|| Arc::new(absent(Some(start))))
}

struct Builder<'a> {
    file: Arc<str>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Arc<Node>>,
    /// Nodes so far, aliases written out.
    size: usize,
    root: Option<Arc<Node>>,
    problems: &'a mut Problems,
}

/// A map or list whose end has not been seen yet.
struct Frame {
    place: Place,
    anchor: usize,
    open: Open,
}

enum Open {
    List(Vec<Arc<Node>>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    places: HashMap<String, Place>,
    key: Option<(String, Place)>,
    /// What `<<` brings in; explicit keys win over it, so it waits for the end of the map.
    merged: Option<Arc<Node>>,
    merge_next: bool,
}

impl Builder<'_> {
    fn run(&mut self, text: &str) -> Result<(), Problem> {
        if TEXT_BYTES_MAX < text.len() {
            let message = format!("the text has {} bytes; the limit is {TEXT_BYTES_MAX}", text.len());
            return Err(self.problem(self.place(1, 1, 1), message));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                let place = self.place(error.marker().line(), error.marker().col() + 1, 1);
                self.problem(place, error.info().to_owned())
            })?;
            self.event(event, span)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        work::add(1);
        let on_one_line = span.start.line() == span.end.line();
        let width = if on_one_line { span.end.col().saturating_sub(span.start.col()) } else { 1 };
        let place = self.place(span.start.line(), span.start.col() + 1, width.max(1));
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(self.problem(place, "expected one document, found a second one".to_owned()))
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Scalar(text, style, anchor, tag) => {
                if self.awaits_key() {
                    self.key(&text, style, anchor, place)
                } else {
                    let plain = style == ScalarStyle::Plain;
                    // An absent value stands nowhere; the parser says "before the next token", which may be lines off.
                    let place = if plain && text.is_empty() && tag.is_none() {
                        self.key_place().unwrap_or(place)
                    } else {
                        place
                    };
                    let kind = self.scalar(&text, plain, tag.as_deref(), &place)?;
                    self.spend(1, &place)?;
                    let is_text = text.is_empty() || matches!(kind, Kind::String(_));
                    let mut node = Node::new(kind, Some(place));
                    node.spelling = (!is_text).then(|| text.as_ref().into());
                    self.value(Arc::new(node), anchor)
                }
            }
            Event::Alias(anchor) => {
                self.refuse_as_key(&place)?;
                let Some(node) = self.anchors.get(&anchor).map(Arc::clone) else {
                    return Err(
                        self.problem(place, "an alias may not stand inside its own anchor".to_owned())
                    );
                };
                if DEPTH_MAX < self.frames.len() + node.height {
                    return Err(self.too_deep(place));
                }
                self.spend(node.size, &place)?;
                self.value(node, 0)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(place, anchor, tag.as_deref(), Open::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.open(place, anchor, tag.as_deref(), Open::Map(OpenMap::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn open(&mut self, place: Place, anchor: usize, tag: Option<&Tag>, open: Open) -> Result<(), Problem> {
        self.refuse_as_key(&place)?;
        let expected = if matches!(open, Open::List(_)) { "seq" } else { "map" };
        if tag.is_some_and(|tag| !(tag.is_yaml_core_schema() && tag.suffix == expected)) {
            return Err(self.problem(place, TAGS_ARE_REFUSED.to_owned()));
        }
        if DEPTH_MAX <= self.frames.len() {
            return Err(self.too_deep(place));
        }
        self.spend(1, &place)?;
        self.frames.push(Frame { place, anchor, open });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let frame = self.frames.pop().expect("the parser balances starts and ends");
        let kind = match frame.open {
            Open::List(items) => Kind::List(items),
            Open::Map(map) => Kind::Map(self.merge(map)),
        };
        self.value(Arc::new(Node::new(kind, Some(frame.place))), frame.anchor)
    }

    /// Counts values: each when it starts, and all those of an anchor again for each alias.
    fn spend(&mut self, n_values: usize, place: &Place) -> Result<(), Problem> {
        self.size = self.size.saturating_add(n_values);
        if self.size <= NODES_MAX {
            return Ok(());
        }
        let message = format!("more than {NODES_MAX} values with all aliases written out");
        Err(self.problem(place.clone(), message))
    }

    /// A finished value goes to whatever is open around it.
    fn value(&mut self, node: Arc<Node>, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        match self.frames.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map(map)) => {
                let (key, key_place) = map.key.take().expect("a map takes a key before a value");
                if std::mem::take(&mut map.merge_next) {
                    map.merged = Some(node);
                } else {
                    map.entries.push(Entry { key, key_place, value: node });
                }
            }
        }
        Ok(())
    }

    fn key(&mut self, text: &str, style: ScalarStyle, anchor: usize, place: Place) -> Result<(), Problem> {
        if KEY_BYTES_MAX < text.len() {
            let message = format!("this key has {} bytes; the limit is {KEY_BYTES_MAX}", text.len());
            return Err(self.problem(place, message));
        }
        if anchor != 0 {
            let node = Node::new(Kind::String(text.to_owned()), Some(place.clone()));
            self.anchors.insert(anchor, Arc::new(node));
        }
        let Some(Frame { open: Open::Map(map), .. }) = self.frames.last_mut() else {
            unreachable!("a key is only awaited by a map");
        };
        map.merge_next = text == "<<" && style == ScalarStyle::Plain;
        map.key = Some((text.to_owned(), place.clone()));
        let first = map.places.entry(text.to_owned()).or_insert_with(|| place.clone()).clone();
        if first != place {
            let message = format!("duplicate key `{text}`; it is already given at {first}");
            self.problems.push(Problem::at(Some(place), self.path_around(), message));
        }
        Ok(())
    }

    fn merge(&mut self, map: OpenMap) -> Vec<Entry> {
        let OpenMap { mut entries, mut places, merged, .. } = map;
        let Some(merged) = merged else { return entries };
        let sources = match &merged.kind {
            Kind::List(items) => items.as_slice(),
            Kind::Map(_) | Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {
                std::slice::from_ref(&merged)
            }
        };
        for source in sources {
            let Kind::Map(inherited) = &source.kind else {
                let message = "`<<` expects a map or a list of maps, such as `<<: *defaults`";
                self.problems.push(Problem::at(source.place.clone(), self.path(), message));
                continue;
            };
            work::add(inherited.len());
            for entry in inherited {
                if !places.contains_key(&entry.key) {
                    places.insert(entry.key.clone(), entry.key_place.clone());
                    entries.push(entry.clone());
                }
            }
        }
        entries
    }

    fn scalar(&self, text: &str, plain: bool, tag: Option<&Tag>, place: &Place) -> Result<Kind, Problem> {
        match tag {
            None if plain => {}
            None => return Ok(Kind::String(text.to_owned())),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => {
                return Ok(Kind::String(text.to_owned()));
            }
            Some(_) => return Err(self.problem(place.clone(), TAGS_ARE_REFUSED.to_owned())),
        }
        Ok(match text {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" => Kind::Bool(true),
            "false" | "False" | "FALSE" => Kind::Bool(false),
            _ => match serde_yaml::Number::from_str(text) {
                Ok(number) => Kind::Number(json_number(&number).ok_or_else(|| {
                    self.problem(place.clone(), "infinity and NaN mean nothing here; quote a text".to_owned())
                })?),
                Err(_) => Kind::String(text.to_owned()),
            },
        })
    }

    fn awaits_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { open: Open::Map(OpenMap { key: None, .. }), .. }))
    }

    fn key_place(&self) -> Option<Place> {
        match &self.frames.last()?.open {
            Open::Map(map) => map.key.as_ref().map(|(_, place)| place.clone()),
            Open::List(_) => None,
        }
    }

    fn refuse_as_key(&self, place: &Place) -> Result<(), Problem> {
        if self.awaits_key() {
            let message = "expected a plain or quoted string as key, found a list, a map or an alias";
            return Err(self.problem(place.clone(), message.to_owned()));
        }
        Ok(())
    }

    /// Dotted path of what is being read.
    fn path(&self) -> String {
        path(&self.frames)
    }

    /// Dotted path of the map or list that holds what is being read.
    fn path_around(&self) -> String {
        path(self.frames.split_last().map_or(&[], |(_, around)| around))
    }

    fn place(&self, line: usize, column: usize, width: usize) -> Place {
        Place { file: Arc::clone(&self.file), line, column, width }
    }

    fn problem(&self, place: Place, message: String) -> Problem {
        Problem::at(Some(place), self.path(), message)
    }

    fn too_deep(&self, place: Place) -> Problem {
        // Without the path: it would be as deep as the problem.
        Problem::at(Some(place), "", format!("nested deeper than {DEPTH_MAX} levels"))
    }
}

fn path(frames: &[Frame]) -> String {
    let mut path = String::new();
    for frame in frames {
        match &frame.open {
            Open::List(items) => path = join(&path, &format!("[{}]", items.len())),
            Open::Map(OpenMap { key: Some((key, _)), .. }) => path = join(&path, key),
            Open::Map(OpenMap { key: None, .. }) => {}
        }
    }
    path
}

/// Does not quote the tag: a password that starts with `!` and is not quoted is one.
const TAGS_ARE_REFUSED: &str = "tags (`!name`) mean nothing here; quote a text that starts with `!`";

/// `None` for infinities and NaN.
fn json_number(number: &serde_yaml::Number) -> Option<serde_json::Number> {
    if let Some(value) = number.as_u64() {
        return Some(value.into());
    }
    if let Some(value) = number.as_i64() {
        return Some(value.into());
    }
    number.as_f64().and_then(serde_json::Number::from_f64)
}
