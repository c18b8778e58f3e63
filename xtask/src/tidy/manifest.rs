//! Rules for the workspace's manifests: every crate takes lints, licence and edition from the root.

use std::path::Path;

use toml_edit::{DocumentMut, Item};

use super::{File, Violation};

/// Keys of `[package]` that are set once, in the root.
const INHERITED: [&str; 4] = ["edition", "license", "rust-version", "version"];

/// Checks the root manifest's members.
pub(super) fn check(files: &[File]) -> Vec<Violation> {
    let root = Path::new("Cargo.toml");
    let Some(document) = parse(files, root) else {
        return vec![Violation::new(root, 0, "missing, or not TOML")];
    };
    let members = document
        .get("workspace")
        .and_then(|workspace| workspace.get("members"))
        .and_then(Item::as_array);
    let Some(members) = members else {
        return vec![Violation::new(root, 0, "no [workspace] members")];
    };
    members
        .iter()
        .filter_map(toml_edit::Value::as_str)
        .flat_map(|member| check_member(files, &Path::new(member).join("Cargo.toml")))
        .collect()
}

fn parse(files: &[File], path: &Path) -> Option<DocumentMut> {
    let file = files.iter().find(|file| file.path == path)?;
    file.text.parse().ok()
}

fn check_member(files: &[File], path: &Path) -> Vec<Violation> {
    let Some(document) = parse(files, path) else {
        return vec![Violation::new(path, 0, "missing, or not TOML")];
    };
    let inherits = |item: Option<&Item>| {
        item.and_then(|item| item.get("workspace"))
            .and_then(Item::as_bool)
            == Some(true)
    };
    let mut violations = Vec::new();
    if !inherits(document.get("lints")) {
        violations.push(Violation::new(path, 0, "no `[lints] workspace = true`"));
    }
    for key in INHERITED {
        if !inherits(document.get("package").and_then(|package| package.get(key))) {
            let message = format!("no `{key}.workspace = true`");
            violations.push(Violation::new(path, 0, message));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::{super::tests::file, *};

    const ROOT: &str = "[workspace]\nmembers = [\"a\"]\n";
    const GOOD: &str = "[package]\nname = \"a\"\nversion.workspace = true\nedition.workspace = true\n\
                        rust-version.workspace = true\nlicense.workspace = true\n[lints]\nworkspace = true\n";

    fn messages(member: &str) -> Vec<String> {
        check(&[file("Cargo.toml", ROOT), file("a/Cargo.toml", member)])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn crate_that_inherits_everything_passes() {
        assert!(messages(GOOD).is_empty());
    }

    #[test]
    fn crate_without_the_lints_or_with_its_own_licence_is_found() {
        let without_lints = GOOD.replace("[lints]\nworkspace = true\n", "");
        assert_eq!(
            messages(&without_lints),
            ["a/Cargo.toml:0: no `[lints] workspace = true`"]
        );
        let own_licence = GOOD.replace("license.workspace = true", "license = \"MIT\"");
        assert_eq!(
            messages(&own_licence),
            ["a/Cargo.toml:0: no `license.workspace = true`"]
        );
    }

    #[test]
    fn member_without_a_manifest_is_found() {
        assert_eq!(check(&[file("Cargo.toml", ROOT)]).len(), 1);
    }
}
