//! Rules for any text: length, white space, file names, words in documentation.

use super::{File, Violation};

/// The longest a Rust file may be.
const MAX_LINES: usize = 400;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "util", "utils", "helper", "helpers", "misc", "common", "manager", "managers",
];

/// Other projects' words for things that have a name here.
const FOREIGN_PHRASES: [(&str, &str); 5] = [
    ("real server", "backend"),
    ("upstream server", "backend"),
    ("pool member", "backend"),
    ("virtual server", "service"),
    ("health check manager", "monitor"),
];

/// Checks one file.
pub(super) fn check(file: &File) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report =
        |line: usize, message: String| violations.push(Violation::new(&file.path, line, message));
    for (index, line) in file.text.lines().enumerate() {
        if line.ends_with([' ', '\t']) {
            report(index + 1, "trailing white space".to_owned());
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        report(
            file.text.lines().count(),
            "no newline at the end".to_owned(),
        );
    }
    let stem = file.path.file_stem().and_then(|stem| stem.to_str());
    if stem.is_some_and(|stem| {
        stem.split(['_', '-'])
            .any(|part| EMPTY_NAMES.contains(&part))
    }) {
        report(0, "file name says nothing about what is inside".to_owned());
    }
    if file.has_extension("rs") {
        let lines = file.text.lines().count();
        if lines > MAX_LINES {
            report(
                0,
                format!("{lines} lines, at most {MAX_LINES}: split by responsibility"),
            );
        }
    }
    if file.has_extension("md") {
        for (index, line) in file.text.lines().enumerate() {
            for (phrase, word) in FOREIGN_PHRASES {
                if says(line, phrase) {
                    report(index + 1, format!("\"{phrase}\": the word is \"{word}\""));
                }
            }
        }
    }
    violations
}

/// Whether a line uses the phrase. In quotes or code it is mentioned, not used: a page may say what others
/// call a thing.
fn says(line: &str, phrase: &str) -> bool {
    let line = line.to_lowercase();
    line.match_indices(phrase).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        !before.ends_with(['"', '`', '“', '*'])
    })
}

#[cfg(test)]
mod tests {
    use super::{super::tests::file, *};

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&file(path, text))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn file_at_the_limit_passes_and_one_line_more_does_not() {
        let lines = |count: usize| "//\n".repeat(count);
        assert!(messages("a/ring.rs", &lines(MAX_LINES)).is_empty());
        assert_eq!(messages("a/ring.rs", &lines(MAX_LINES + 1)).len(), 1);
        assert!(messages("a/list.md", &lines(MAX_LINES + 1)).is_empty());
    }

    #[test]
    fn trailing_white_space_is_found_by_line() {
        let found = messages("a.toml", "a = 1\nb = 2 \n");
        assert_eq!(found, ["a.toml:2: trailing white space"]);
    }

    #[test]
    fn file_must_end_with_a_newline() {
        assert_eq!(messages("a.sh", "true"), ["a.sh:1: no newline at the end"]);
    }

    #[test]
    fn empty_names_are_refused_and_the_crate_directory_is_not() {
        assert_eq!(messages("src/utils.rs", "\n").len(), 1);
        assert_eq!(messages("src/health_manager.rs", "\n").len(), 1);
        assert!(messages("adc-common/src/abi.rs", "\n").is_empty());
    }

    #[test]
    fn foreign_words_may_be_mentioned_but_not_used() {
        assert_eq!(messages("a.md", "Each real server is checked.\n").len(), 1);
        assert!(messages("a.md", "A backend (\"real server\" in IPVS).\n").is_empty());
        assert!(messages("a.md", "On a real NIC.\n").is_empty());
    }
}
