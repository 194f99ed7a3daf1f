//! What README shows of this sample: commands, and what they print.

/// The fenced blocks of a chapter, each with its language.
#[track_caller]
pub(crate) fn blocks(chapter: &str) -> Vec<(&'static str, &'static str)> {
    let readme = include_str!("../../../../README.md");
    let (_, after) = readme.split_once(&format!("\n## {chapter}\n")).expect("README has this chapter");
    let text = after.split("\n## ").next().expect("a split has a first part");
    let fences = text.split("```").skip(1).step_by(2);
    fences.map(|block| block.split_once('\n').expect("a language stands on a line of its own")).collect()
}

/// What a command that contains `text` is shown to print: the block after it.
#[track_caller]
pub(crate) fn output_of(blocks: &[(&'static str, &'static str)], text: &str) -> &'static str {
    let command = blocks.iter().position(|(language, block)| *language == "sh" && block.contains(text));
    let command = command.unwrap_or_else(|| panic!("README has no command with `{text}`"));
    match blocks.get(command + 1) {
        Some(("text", output)) => output.trim_end(),
        other => panic!("the command with `{text}` is followed by {other:?}"),
    }
}

/// A line of the log without what differs each time: the time it was written and durations.
pub(crate) fn without_times(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.split_once("duration_ms=") {
        Some(("", _)) => "duration_ms=…",
        _ => word,
    });
    words.skip(1).collect::<Vec<_>>().join(" ")
}

/// `SECDIST_CONFIG` as README exports it, for the Kafka at this address.
#[track_caller]
pub(crate) fn secdist(bootstrap_servers: &str) -> String {
    let blocks = blocks("A real Kafka");
    let values = blocks.iter().find_map(|(_, block)| block.strip_prefix("export SECDIST_CONFIG='"));
    let (value, _rest) = values.and_then(|rest| rest.split_once('\'')).expect("README exports it");
    let secdist = value.replace("localhost:9092", bootstrap_servers);
    assert_ne!(secdist, value, "README shows another address");
    secdist
}
