//! What is wrong with a configuration, shown to people and to machines.
//!
//! People get each problem's one line (`file:line:column: path: message`), below it the line of the source with the place
//! underlined, and the line that a `$variable` took its value from. Machines get the same problems as JSON. Neither shows
//! what comes from the environment or a file, nor what stands behind a key that sounds like a secret.

mod json;
mod snippet;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use mainspring_config::{Problem, Problems, Source, Surroundings};

use crate::daemon::say;
use snippet::Snippet;

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    // Lines with the source below, on standard error. (Documentation would become help that fills the screen.)
    #[default]
    Text,
    // An array of objects, on standard output.
    Json,
}

/// A stream that knows whether somebody looks at it.
pub(crate) trait Screen: Write {
    fn is_terminal(&self) -> bool;
}

impl Screen for io::Stderr {
    fn is_terminal(&self) -> bool {
        IsTerminal::is_terminal(self)
    }
}

/// What comes of checking a configuration, and how to say it.
pub(crate) struct Report<'a> {
    format: Format,
    /// Where the files of variables are read again, to show their lines.
    surroundings: &'a dyn Surroundings,
    /// The main file, once it has been read.
    pub(crate) source: Option<Source>,
    /// What is questionable, but not wrong.
    pub(crate) warnings: Problems,
}

impl<'a> Report<'a> {
    pub(crate) fn new(format: Format, surroundings: &'a dyn Surroundings) -> Self {
        Self { format, surroundings, source: None, warnings: Problems::new() }
    }

    /// Says that the configuration is right, in these words.
    pub(crate) fn accept(&self, verdict: &str, stdout: &mut impl Write, stderr: &mut impl Screen) {
        let problems = Problems::new();
        match self.format {
            Format::Text => {
                self.print(&problems, stderr);
                let name = self.source.as_ref().map_or("", Source::name);
                say(stdout, format_args!("{name}: {verdict}"));
            }
            Format::Json => say(stdout, format_args!("{:#}", json::array(&problems, &self.warnings))),
        }
    }

    /// Says what is wrong with the configuration, and that therefore nothing was started.
    pub(crate) fn refuse(&self, problems: &Problems, stdout: &mut impl Write, stderr: &mut impl Screen) {
        match self.format {
            Format::Text => self.print(problems, stderr),
            Format::Json => say(stdout, format_args!("{:#}", json::array(problems, &self.warnings))),
        }
        let count = problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        say(stderr, format_args!("error: the configuration has {count} {noun}; nothing was started"));
    }

    /// The warnings, then the problems, which matter more and are easier found at the end.
    fn print(&self, problems: &Problems, stderr: &mut impl Screen) {
        let style = Style::of(stderr, self.surroundings);
        for (heading, problems) in [("warning: ", &self.warnings), ("", problems)] {
            let texts = self.texts(problems);
            let lines: BTreeMap<&str, Vec<&str>> =
                texts.iter().map(|(name, text)| (name.as_str(), text.lines().collect())).collect();
            for problem in problems {
                say(stderr, format_args!("{}", entry(heading, problem, &lines, style)));
            }
        }
    }

    /// The texts that the problems point into; those that cannot be read again are left out.
    fn texts(&self, problems: &Problems) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        texts.extend(self.source.iter().map(|source| (source.name().to_owned(), source.text().to_owned())));
        for name in problems.iter().flat_map(files) {
            if !texts.contains_key(name)
                && let Ok(text) = self.surroundings.read_file(name)
            {
                texts.insert(name.to_owned(), text);
            }
        }
        texts
    }
}

/// The files of a problem that may be shown.
fn files(problem: &Problem) -> impl Iterator<Item = &str> {
    problem.file().into_iter().chain(shown_origin(problem).map(|(file, ..)| file))
}

/// Where a problem's value came from, if that may be shown.
fn shown_origin(problem: &Problem) -> Option<(&str, usize, usize)> {
    problem.origin().filter(|origin| !origin.is_secret())?.place()
}

/// One problem with what there is to show of it.
fn entry(heading: &str, problem: &Problem, lines: &BTreeMap<&str, Vec<&str>>, style: Style) -> String {
    let mut entry = format!("{}{heading}{problem}{}", style.bold, style.plain);
    let mut show = |heading: Option<String>, file: &str, line: usize, column: usize, width: usize| {
        let lines = lines.get(file).map_or(&[][..], Vec::as_slice);
        // What is missing at the end of a text is missing behind its last line.
        let (line, column) = if line <= lines.len() { (line, column) } else { (lines.len(), usize::MAX) };
        if let Some(text) = line.checked_sub(1).and_then(|line_idx| lines.get(line_idx)) {
            let snippet = Snippet { line, text, column, width, style };
            entry.push_str(&format!("\n{}{snippet}", heading.unwrap_or_default()));
        }
    };
    if let (Some(file), Some(line), Some(column)) = (problem.file(), problem.line(), problem.column()) {
        show(None, file, line, column, problem.width());
    }
    if let (Some((file, line, column)), Some(origin)) = (shown_origin(problem), problem.origin()) {
        let heading = format!("   {}-->{} {origin}\n", style.gutter, style.plain);
        show(Some(heading), file, line, column, origin.width());
    }
    entry
}

/// Escape sequences; empty without colour.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    bold: &'static str,
    mark: &'static str,
    gutter: &'static str,
    plain: &'static str,
}

impl Style {
    const COLOUR: Self =
        Self { bold: "\u{1b}[1m", mark: "\u{1b}[1;31m", gutter: "\u{1b}[1;34m", plain: "\u{1b}[0m" };

    /// Colour is for terminals, and not for those who set `NO_COLOR` to anything.
    fn of(stream: &impl Screen, surroundings: &dyn Surroundings) -> Self {
        // A value that is no text is set all the same.
        let refused =
            surroundings.env_var("NO_COLOR").map_or(true, |value| value.is_some_and(|v| !v.is_empty()));
        if stream.is_terminal() && !refused { Self::COLOUR } else { Self::default() }
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("source", &self.source).field("format", &self.format).finish()
    }
}

#[cfg(test)]
mod tests;
