//! One line of a source with a place underlined.

use std::fmt;

use super::Style;

/// Most characters shown of a line.
const CHARS_MAX: usize = 100;

/// How much of a line that is too long is shown before the place.
const CHARS_BEFORE: usize = 30;

/// What stands behind a key with one of these in its name is not shown.
const SECRET_WORDS: [&str; 8] =
    ["password", "passphrase", "secret", "token", "credential", "private_key", "jaas", "key.pem"];

/// A line, and where in it to look.
pub(super) struct Snippet<'a> {
    pub(super) line: usize,
    pub(super) text: &'a str,
    /// In characters, from 1.
    pub(super) column: usize,
    pub(super) width: usize,
    pub(super) style: Style,
}

impl fmt::Display for Snippet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(self.text);
        let (chars, masked_from) = masked(text);
        // A place behind the end is the end; one inside a mask is the mask.
        let column = self.column.saturating_sub(1).min(masked_from.unwrap_or(chars.len()));
        let start = if chars.len() <= CHARS_MAX { 0 } else { column.saturating_sub(CHARS_BEFORE) };
        let end = chars.len().min(start + CHARS_MAX);
        let cut = |is_cut| if is_cut { "…" } else { "" };
        let (before, after) = (cut(0 < start), cut(end < chars.len()));
        let shown: String = chars[start.min(end)..end].iter().collect();
        let indent = " ".repeat(column - start + before.chars().count());
        // The length of what is hidden is nobody's business either.
        let width = if masked_from == Some(column) { chars.len() } else { self.width };
        let marks = "^".repeat(width.min(end.saturating_sub(column)).max(1));
        let Style { mark, gutter, plain, .. } = self.style;
        writeln!(f, "{gutter}{:>5} |{plain} {before}{shown}{after}", self.line)?;
        write!(f, "{gutter}      |{plain} {indent}{mark}{marks}{plain}")
    }
}

/// The line as it may be printed, and where something is hidden: control characters would act on the terminal, and what
/// stands behind a key that sounds like a secret is one.
fn masked(text: &str) -> (Vec<char>, Option<usize>) {
    let mut chars: Vec<char> = text
        .trim_end()
        .chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    let Some(from) = secret_value(&chars) else { return (chars, None) };
    chars.truncate(from);
    chars.extend("*****".chars());
    (chars, Some(from))
}

/// Where the value of the first key that sounds like a secret begins, unless it is a `$variable` or nothing.
fn secret_value(chars: &[char]) -> Option<usize> {
    let mut key_start = 0;
    for (idx, c) in chars.iter().enumerate() {
        let ends_key = *c == ':' && chars.get(idx + 1).is_none_or(|next| next.is_whitespace());
        if matches!(c, '{' | ',' | '[') {
            key_start = idx + 1;
        } else if ends_key {
            let key = chars[key_start..idx].iter().collect::<String>().to_lowercase();
            let names_secret = SECRET_WORDS.iter().any(|word| key.contains(word));
            let value = (idx + 1..chars.len()).find(|at| !chars[*at].is_whitespace());
            // `password#env: NAME` names where a secret is.
            let is_place = key.ends_with("#env") || key.ends_with("#file");
            if let Some(value) = value.filter(|at| names_secret && !is_place && !"${[".contains(chars[*at])) {
                return Some(value);
            }
            key_start = idx + 1;
        }
    }
    None
}
