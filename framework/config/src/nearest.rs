//! Did you mean …?

/// Similarity (Jaro-Winkler, 0 to 1) from which a name is worth suggesting: `group` suggests `group_id` (0.92), and a
/// typo in a long name stays well above; unrelated option names of the same component stay below.
const SIMILARITY_MIN: f64 = 0.85;

/// The known name nearest to an unknown one, if it is near enough to be what was meant.
///
/// Case and the difference between `-` and `_` do not count. Of equally near names the first wins.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let unknown = normal(unknown);
    let mut best: Option<(f64, &str)> = None;
    for name in known {
        let similarity = strsim::jaro_winkler(&unknown, &normal(name));
        if SIMILARITY_MIN <= similarity && best.is_none_or(|(best, _)| best < similarity) {
            best = Some((similarity, name));
        }
    }
    best.map(|(_, name)| name)
}

fn normal(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}
