//! Paths as handlers declare them, and the patterns of axum's router that they mean.

use std::fmt;

/// A checked path such as `/orders/{id}` or `/files/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathTemplate {
    text: String,
    pattern: String,
}

impl PathTemplate {
    /// Each segment is plain text or `{name}`, which stands for one segment; a last `*` stands for the rest.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("expected a path that starts with `/`, found `{text}`"));
        };
        let mut pattern = String::new();
        let mut segments = rest.split('/').peekable();
        while let Some(segment) = segments.next() {
            pattern.push('/');
            match segment {
                "*" if segments.peek().is_none() => pattern.push_str("{*path}"),
                segment if is_plain(segment) || is_param(segment) => pattern.push_str(segment),
                segment => {
                    return Err(format!(
                        "`{segment}` is no segment of a path; expected plain text, `{{name}}`, or `*` at the end"
                    ));
                }
            }
        }
        Ok(Self { text: text.to_owned(), pattern })
    }

    /// As the router reads it.
    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The patterns when the last segment may be left out, with its `/` or without.
    pub(crate) fn patterns_without_last(&self) -> Vec<String> {
        let parent = self.pattern.rsplit_once('/').map_or("", |(parent, _)| parent);
        let mut patterns = vec![self.pattern.clone(), format!("{parent}/")];
        if !parent.is_empty() {
            patterns.push(parent.to_owned());
        }
        patterns
    }
}

impl fmt::Display for PathTemplate {
    /// As it was declared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_plain(segment: &str) -> bool {
    // A leading `:` or `*` is refused by axum, which once gave it a meaning.
    !segment.contains(['{', '}', '*']) && !segment.starts_with(':')
}

fn is_param(segment: &str) -> bool {
    let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    })
}
