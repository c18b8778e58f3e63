//! The sizes in `docs/MAPS.md` are those the code asserts.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{File, Violation};

const DOCUMENT: &str = "docs/MAPS.md";
const SOURCES: &str = "adc-common/src/abi";

/// Compares the tables headed `| Type | Size | …` with the `Name [size]` of `abi_struct!` and the
/// `Name<Family>, size` of `pod_instance!`.
pub(super) fn check(files: &[File]) -> Vec<Violation> {
    let path = Path::new(DOCUMENT);
    let declared = declared(files);
    let Some(document) = files.iter().find(|file| file.path == path) else {
        return vec![Violation::new(path, 0, "missing: it describes every map")];
    };
    let mut undocumented = declared.clone();
    let mut violations = Vec::new();
    for row in documented(&document.text) {
        undocumented.remove(&row.name);
        match declared.get(&row.name) {
            Some((size, _)) if *size == row.size => {}
            Some((size, source)) => violations.push(Violation::new(
                path,
                row.line,
                format!(
                    "`{}` has {} bytes here and {size} in {}",
                    row.name,
                    row.size,
                    source.display()
                ),
            )),
            None => violations.push(Violation::new(
                path,
                row.line,
                format!("`{}` is not declared in {SOURCES}", row.name),
            )),
        }
    }
    for (name, (size, source)) in undocumented {
        let message = format!("no row for `{name}` ({size} bytes, {})", source.display());
        violations.push(Violation::new(path, 0, message));
    }
    violations
}

/// Types by name, with size in bytes and where they are declared.
fn declared(files: &[File]) -> BTreeMap<String, (u64, PathBuf)> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with(SOURCES)) {
        // What does not parse is reported with the other rules for source.
        if let Ok(tokens) = file.text.parse() {
            let mut names = Vec::new();
            find_sizes(tokens, &mut names);
            found.extend(
                names
                    .into_iter()
                    .map(|(name, size)| (name, (size, file.path.clone()))),
            );
        }
    }
    found.into_iter().collect()
}

/// `Name [12]`, in a declaration or as an argument of a macro that makes one, and `pod_instance!(Name<A>, 12 = …)`.
fn find_sizes(tokens: TokenStream, found: &mut Vec<(String, u64)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for pair in tokens.windows(2) {
        if let [TokenTree::Ident(name), TokenTree::Group(group)] = pair
            && group.delimiter() == Delimiter::Bracket
            && is_type_name(&name.to_string())
            && let Ok(size) = group.stream().to_string().parse()
        {
            found.push((name.to_string(), size));
        }
    }
    for call in tokens.windows(3) {
        if let [
            TokenTree::Ident(name),
            TokenTree::Punct(_),
            TokenTree::Group(group),
        ] = call
            && name == "pod_instance"
        {
            found.extend(instance_size(group.stream()));
        }
    }
    for token in tokens {
        if let TokenTree::Group(group) = token {
            find_sizes(group.stream(), found);
        }
    }
}

/// `Name<A>, 12 = …` of one instance of a generic layout.
fn instance_size(arguments: TokenStream) -> Option<(String, u64)> {
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ',');
    let tokens: Vec<TokenTree> = arguments.into_iter().collect();
    let comma = tokens.iter().position(is_comma)?;
    let name: String = tokens
        .get(..comma)?
        .iter()
        .map(ToString::to_string)
        .collect();
    let size = tokens.get(comma + 1)?.to_string().parse().ok()?;
    Some((name, size))
}

fn is_type_name(name: &str) -> bool {
    name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase)
}

struct Row {
    name: String,
    size: u64,
    line: usize,
}

/// Rows of tables whose first two columns are headed "Type" and "Size".
fn documented(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut in_table = false;
    for (index, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line
            .trim()
            .trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        let (true, [name, size, ..]) = (line.trim_start().starts_with('|'), cells.as_slice())
        else {
            in_table = false;
            continue;
        };
        let is_header =
            name.eq_ignore_ascii_case("type") && size.to_lowercase().starts_with("size");
        in_table = in_table || is_header;
        let number = size
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok());
        if let (true, Some(size)) = (in_table, number) {
            rows.push(Row {
                name: name.trim_matches('`').to_owned(),
                size,
                line: index + 1,
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::{super::tests::file, *};

    const CODE: &str = "//! Docs.\nabi_struct! {\n    /// A hop.\n    pub struct Hop [12] { pub mac: [u8; 6] }\n}\n\
                        flow_abi!(\"IPv4\", Tuple4[8], FlowKey4[16]);\nfn a() { TABLE[0]; }\n\
                        pod_instance!(Key<Addr4>, 24 = Tuple<Addr4>, [u8; 3]);\n";

    fn messages(document: &str) -> Vec<String> {
        check(&[
            file("adc-common/src/abi/hop.rs", CODE),
            file(DOCUMENT, document),
        ])
        .iter()
        .map(ToString::to_string)
        .collect()
    }

    const GOOD: &str = "| Map | Key |\n|---|---|\n| `FLOWS4` | 3 |\n\n| Type | Size | Notes |\n|---|---|---|\n\
                        | `Hop` | 12 | - |\n| `Tuple4` | 8 bytes | - |\n| FlowKey4 | 16 | - |\n| `Key<Addr4>` | 24 | - |\n";

    #[test]
    fn document_that_agrees_passes() {
        assert_eq!(messages(GOOD), Vec::<String>::new());
    }

    #[test]
    fn wrong_size_is_found_by_line() {
        let wrong = GOOD.replace("| 12 |", "| 16 |");
        assert_eq!(
            messages(&wrong),
            ["docs/MAPS.md:7: `Hop` has 16 bytes here and 12 in adc-common/src/abi/hop.rs"]
        );
    }

    #[test]
    fn wrong_size_of_a_generic_instance_is_found() {
        let wrong = GOOD.replace("| 24 |", "| 20 |");
        assert_eq!(
            messages(&wrong),
            ["docs/MAPS.md:10: `Key<Addr4>` has 20 bytes here and 24 in adc-common/src/abi/hop.rs"]
        );
    }

    #[test]
    fn undocumented_and_unknown_types_are_found() {
        let renamed = GOOD.replace("FlowKey4", "FlowKey5");
        let found = messages(&renamed);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn missing_document_is_found() {
        let found = check(&[file("adc-common/src/abi/hop.rs", CODE)]);
        assert_eq!(found.len(), 1);
    }
}
