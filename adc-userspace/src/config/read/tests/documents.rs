//! What the documents say about the configuration is so.

use std::path::{Path, PathBuf};

use super::{FULL, read};
use crate::config::{parse, render};

fn document(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn the_examples_of_the_reference_are_valid() {
    let (path, text) = document("docs/configuration.md");
    let blocks = text.split("```toml\n").skip(1);
    let examples: Vec<_> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(examples.len() > 3, "{}", examples.len());
    for example in examples {
        let dataplane = "[dataplane]\ninterfaces = [\"eth0\"]\n";
        let whole = if example.contains("[dataplane]") {
            String::new()
        } else {
            dataplane.to_owned()
        };
        if let Err(errors) = parse(&(whole + example), &path) {
            panic!("{errors}\n{example}");
        }
    }
}

#[test]
fn the_reference_and_the_example_have_every_key() {
    let (_, reference) = document("docs/configuration.md");
    let (_, example) = document("dist/adc.toml");
    // Rendering spells out every key but these.
    let text = render(&read(FULL).unwrap()) + "body = 1\nport = 1\n";
    let keys = text
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(key, _)| key));
    for key in keys {
        assert!(
            reference.contains(&format!("| `{key}` |")),
            "{key} is not in the reference"
        );
        let rare = ["body_regex", "ca_file", "port"];
        let given = example.contains(&format!("{key} = "));
        assert!(given || rare.contains(&key), "{key} is not in the example");
    }
}

#[test]
fn the_example_configuration_is_valid() {
    let (path, text) = document("dist/adc.toml");
    if let Err(errors) = parse(&text, &path) {
        panic!("{errors}");
    }
    // Each key in a comment is valid too once it is uncommented.
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix("#:").unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n");
    assert_ne!(text, uncommented);
    if let Err(errors) = parse(&uncommented, &path) {
        panic!("{errors}");
    }
}
