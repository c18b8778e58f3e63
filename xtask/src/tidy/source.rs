//! Rules for Rust source, checked on tokens: comments and strings can not raise a false alarm.

use std::path::Path;

use proc_macro2::{Ident, TokenStream, TokenTree};

use super::{File, Violation};

/// Macros that must not be left behind.
const LEFTOVERS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Crates of the aya family that talk to the kernel.
const AYA: [&str; 3] = ["aya", "aya_obj", "aya_log"];

/// Where they may be named: everything else reaches the kernel through the data plane module.
const AYA_HOMES: [&str; 2] = ["adc-userspace/src/dataplane", "tests"];

/// Keywords before the name of something being defined.
const DEFINERS: [&str; 8] = [
    "fn", "struct", "enum", "trait", "type", "mod", "const", "static",
];

/// Words that do not name anything of ours.
const FOREIGN_WORDS: [&str; 9] = [
    "upstream",
    "frontend",
    "session",
    "realserver",
    "manager",
    "util",
    "utils",
    "helper",
    "helpers",
];

/// Checks one Rust file.
pub(super) fn check(file: &File) -> Vec<Violation> {
    let mut violations = Vec::new();
    if !has_module_docs(&file.text) {
        violations.push(Violation::new(
            &file.path,
            1,
            "no module documentation (`//!`) at the top",
        ));
    }
    match file.text.parse::<TokenStream>() {
        Ok(tokens) => walk(file, tokens, &mut violations),
        Err(error) => violations.push(Violation::new(
            &file.path,
            error.span().start().line,
            format!("not Rust: {error}"),
        )),
    }
    violations
}

/// Inner attributes may come first; items may not.
fn has_module_docs(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("#!["))
        .is_some_and(|line| line.starts_with("//!"))
}

fn walk(file: &File, tokens: TokenStream, violations: &mut Vec<Violation>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => walk(file, group.stream(), violations),
            TokenTree::Ident(ident) => {
                let (before, after) = (&tokens[..index], &tokens[index + 1..]);
                if let Some(message) = complaint(&file.path, before, ident, after) {
                    let line = ident.span().start().line;
                    violations.push(Violation::new(&file.path, line, message));
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// What is wrong with an identifier among its neighbours.
fn complaint(
    path: &Path,
    before: &[TokenTree],
    ident: &Ident,
    after: &[TokenTree],
) -> Option<String> {
    let name = ident.to_string();
    if LEFTOVERS.contains(&name.as_str()) && after.first().is_some_and(|t| is_punct(t, '!')) {
        return Some(format!("`{name}!` left behind"));
    }
    let follows = |words: &[&str]| before.last().is_some_and(|t| is_one_of(t, words));
    let starts_path = after.first().is_some_and(|t| is_punct(t, ':'));
    let inside_path = matches!(before, [.., a, b] if is_punct(a, ':') && is_punct(b, ':'));
    if AYA.contains(&name.as_str())
        && ((starts_path && !inside_path) || follows(&["use", "crate"]))
        && !AYA_HOMES.iter().any(|home| path.starts_with(home))
    {
        return Some(format!(
            "`{name}` is used outside {}",
            AYA_HOMES.join(" and ")
        ));
    }
    let word = words(&name)
        .into_iter()
        .find(|word| FOREIGN_WORDS.contains(&word.as_str()) && !is_at_home(word, path));
    match word {
        Some(word) if follows(&DEFINERS) => {
            Some(format!("`{name}`: \"{word}\" is not a word of ours"))
        }
        _ => None,
    }
}

/// What RFC 5880 calls a session is no flow, and has no other name.
fn is_at_home(word: &str, path: &Path) -> bool {
    word == "session" && path.to_string_lossy().contains("bfd")
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

fn is_one_of(token: &TokenTree, words: &[&str]) -> bool {
    matches!(token, TokenTree::Ident(ident) if words.iter().any(|word| ident == word))
}

/// The words of `snake_case`, `CamelCase` and `SCREAMING_CASE`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut previous_was_lower = false;
    for character in name.chars() {
        if character == '_' || (character.is_uppercase() && previous_was_lower) {
            words.push(String::new());
        }
        if character != '_'
            && let Some(word) = words.last_mut()
        {
            word.extend(character.to_lowercase());
        }
        previous_was_lower = character.is_lowercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{super::tests::file, *};

    fn messages(path: &str, code: &str) -> Vec<String> {
        check(&file(path, &format!("//! Docs.\n{code}\n")))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn module_docs_may_follow_inner_attributes_only() {
        assert!(has_module_docs("#![no_std]\n\n//! Docs.\n"));
        assert!(!has_module_docs("use std::fmt;\n//! Late.\n"));
        assert!(!has_module_docs("// Not docs.\n"));
        assert!(!has_module_docs(""));
    }

    #[test]
    fn leftover_macros_are_found_inside_functions() {
        let found = messages("a.rs", "fn a() {\n    todo!()\n}");
        assert_eq!(found, ["a.rs:3: `todo!` left behind"]);
        assert_eq!(messages("a.rs", "fn a() { let _ = dbg!(1); }").len(), 1);
    }

    #[test]
    fn comments_and_strings_raise_no_alarm() {
        let code = "// todo!() and aya::Ebpf\nconst A: &str = \"dbg!() aya::Ebpf\";";
        assert!(messages("adc-userspace/src/plan/mod.rs", code).is_empty());
    }

    #[test]
    fn aya_stays_in_the_data_plane_and_the_tests() {
        for code in [
            "use aya::Ebpf;",
            "use aya::{Ebpf, maps};",
            "fn a(b: aya::Ebpf) {}",
            "extern crate aya;",
            "use aya_obj::Map;",
        ] {
            assert_eq!(
                messages("adc-userspace/src/plan/mod.rs", code).len(),
                1,
                "{code}"
            );
            assert!(messages("adc-userspace/src/dataplane/maps.rs", code).is_empty());
            assert!(messages("tests/tests/prog_packets.rs", code).is_empty());
        }
        assert!(messages("adc-ebpf/src/main.rs", "use aya_ebpf::macros::xdp;").is_empty());
        assert!(messages("adc-userspace/src/a.rs", "use crate::dataplane::aya_error;").is_empty());
    }

    #[test]
    fn foreign_words_are_refused_in_definitions() {
        assert_eq!(messages("a.rs", "struct HealthManager;").len(), 1);
        assert_eq!(messages("a.rs", "fn upstream_address() {}").len(), 1);
        assert!(messages("a.rs", "fn a() { connection.session(); }").is_empty());
        assert!(messages("a.rs", "fn utilisation() {}").is_empty());
        assert_eq!(messages("a.rs", "struct Session;").len(), 1);
        assert!(messages("bfd/a.rs", "struct Session;").is_empty());
        assert_eq!(messages("bfd/a.rs", "struct Manager;").len(), 1);
    }
}
