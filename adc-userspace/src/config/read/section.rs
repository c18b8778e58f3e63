//! One table of the document. Each getter records what is wrong and returns `None`; the caller goes on
//! with a default, so that one pass finds every error.

use std::{cell::RefCell, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use toml_edit::{Item, Key, TableLike, Value};

use super::{
    super::{
        error::Fault,
        words::{Words, closest},
    },
    report::Report,
};
use crate::model::InvalidName;

/// What a name may be; the model says the same in its error.
const NAME: &str =
    "1 to 63 letters, digits, `.`, `_`, `-`, `:`, `[` or `]`, starting with a letter, digit or `[`";

/// A table of the document, or the absence of one.
pub(super) struct Section<'d> {
    report: &'d Report<'d>,
    path: String,
    table: Option<&'d dyn TableLike>,
    /// Keys that were asked for: the ones that exist, as far as this table is concerned.
    asked: RefCell<Vec<&'static str>>,
}

impl<'d> Section<'d> {
    pub(super) fn new(
        report: &'d Report<'d>,
        path: String,
        table: Option<&'d dyn TableLike>,
    ) -> Self {
        if let Some(table) = table {
            for (name, item) in table.iter() {
                let key_span = table.key(name).and_then(Key::span);
                let span = if item.is_value() { item.span() } else { None };
                report.locate(join(&path, name), span.or(key_span));
            }
        }
        Self {
            report,
            path,
            table,
            asked: RefCell::default(),
        }
    }

    /// Key path of a key of this table.
    pub(super) fn key(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Key path of this table.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the file gives this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Whether the file gives this key, which this kind of table may have elsewhere.
    pub(super) fn takes_and_has(&self, key: &'static str) -> bool {
        self.item(key).is_some()
    }

    /// Records what is wrong with a key of this table.
    pub(super) fn fault(&self, key: &str, fault: Fault) {
        self.report.fault(&self.key(key), fault);
    }

    /// Records that a key is missing, if it is.
    pub(super) fn require(&self, key: &'static str, allowed: &str) {
        if self.item(key).is_none() {
            self.fault(key, Fault::new("missing, but required").allowed(allowed));
        }
    }

    fn item(&self, key: &'static str) -> Option<&'d Item> {
        self.asked.borrow_mut().push(key);
        self.table.and_then(|table| table.get(key))
    }

    /// The value of `key` as `as_type` sees it; `expected` says which type that is, with an example.
    fn typed<T>(
        &self,
        key: &'static str,
        expected: &str,
        as_type: impl FnOnce(&'d Value) -> Option<T>,
    ) -> Option<T> {
        let item = self.item(key)?;
        let value = item.as_value().and_then(as_type);
        if value.is_none() {
            self.fault(key, wrong_type(item, expected));
        }
        value
    }

    /// A string.
    pub(super) fn text(&self, key: &'static str) -> Option<&'d str> {
        self.typed(key, "a string in quotes", Value::as_str)
    }

    /// Whether a key is there and holds a string.
    pub(super) fn is_text(&self, key: &'static str) -> bool {
        self.item(key).is_some_and(Item::is_str)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        self.typed(key, "true or false, without quotes", Value::as_bool)
    }

    /// A whole number in `range`.
    pub(super) fn integer<T>(&self, key: &'static str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let allowed = format!("{} to {}", range.start(), range.end());
        let expected = format!("a whole number without quotes, {allowed}");
        let given = self.typed(key, &expected, Value::as_integer)?;
        let value = T::try_from(given).ok().filter(|v| range.contains(v));
        if value.is_none() {
            let fault = Fault::new("out of range").value(given.to_string());
            self.fault(key, fault.allowed(allowed));
        }
        value
    }

    /// A span of time with its unit, e.g. `"1m30s"`.
    pub(super) fn duration(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let allowed = format!(
            "{} to {}",
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end())
        );
        let expected = format!(
            "a duration with its unit, in quotes, such as \"500ms\", \"2s\" or \"1h30m\", {allowed}"
        );
        let given = self.typed(key, &expected, Value::as_str)?;
        let fault = match humantime::parse_duration(given) {
            Ok(value) if range.contains(&value) => return Some(value),
            Ok(_) => Fault::new("out of range").allowed(allowed),
            Err(_) if given.bytes().all(|b| b.is_ascii_digit()) => {
                Fault::new("has no unit").allowed(expected)
            }
            Err(error) => Fault::new(format!("not a duration ({error})")).allowed(expected),
        };
        self.fault(key, fault.value(given));
        None
    }

    /// A percentage, e.g. `"10%"`.
    pub(super) fn percent(&self, key: &'static str, range: RangeInclusive<u8>) -> Option<u8> {
        let expected = format!(
            "a percentage in quotes, \"{}%\" to \"{}%\"",
            range.start(),
            range.end()
        );
        let given = self.typed(key, &expected, Value::as_str)?;
        let number = given.strip_suffix('%').and_then(|n| n.trim().parse().ok());
        let value = number.filter(|percent| range.contains(percent));
        if value.is_none() {
            let fault = Fault::new("not a percentage in range").value(given);
            self.fault(key, fault.allowed(expected));
        }
        value
    }

    /// One of a set of words.
    pub(super) fn word<W: Words>(&self, key: &'static str) -> Option<W> {
        let words: Vec<_> = W::ALL.iter().map(|w| w.word()).collect();
        let given = self.choice(key, &words, W::LATER)?;
        W::ALL.iter().copied().find(|w| w.word() == given)
    }

    /// One of a list of strings; those in `later` are known but not built.
    pub(super) fn choice(
        &self,
        key: &'static str,
        allowed: &[&'static str],
        later: &[&str],
    ) -> Option<&'static str> {
        let expected = allowed.join(", ");
        let given = self.typed(
            key,
            &format!("one of the strings {expected}"),
            Value::as_str,
        )?;
        let value = allowed.iter().copied().find(|word| *word == given);
        if value.is_none() {
            let fault = if later.contains(&given) {
                Fault::new("not built yet")
            } else {
                let suggestion = closest(given, allowed.iter().copied());
                Fault::new("unknown value").did_you_mean(suggestion)
            };
            self.fault(key, fault.value(given).allowed(expected));
        }
        value
    }

    /// An array; `expected` says of what. The elements come with their key paths.
    pub(super) fn array(&self, key: &'static str, expected: &str) -> Vec<(String, &'d Value)> {
        let array = self.typed(key, expected, Value::as_array);
        let values = array.into_iter().flat_map(toml_edit::Array::iter);
        values
            .enumerate()
            .map(|(index, value)| {
                let path = format!("{}[{index}]", self.key(key));
                self.report.locate(path.clone(), value.span());
                (path, value)
            })
            .collect()
    }

    /// An array of strings, each with its key path.
    pub(super) fn texts(&self, key: &'static str, expected: &str) -> Vec<(String, &'d str)> {
        self.array(key, expected)
            .into_iter()
            .filter_map(|(path, value)| {
                let text = value.as_str().map(|text| (path.clone(), text));
                if text.is_none() {
                    let fault = wrong_value_type(value, "a string in quotes");
                    self.report.fault(&path, fault);
                }
                text
            })
            .collect()
    }

    /// A name, read from the string at `path`.
    pub(super) fn name_at<N: FromStr<Err = InvalidName>>(
        &self,
        path: &str,
        name: &str,
    ) -> Option<N> {
        let parsed = name.parse::<N>();
        if parsed.is_err() {
            let fault = Fault::new("not a valid name").value(name);
            self.report.fault(path, fault.allowed(NAME));
        }
        parsed.ok()
    }

    /// The name of this table, `[kind.NAME]`.
    pub(super) fn name<N: FromStr<Err = InvalidName>>(&self, name: &str) -> Option<N> {
        self.name_at(&self.path, name)
    }

    /// Whether the file gives `key` as an array without elements.
    pub(super) fn is_empty_array(&self, key: &str) -> bool {
        let item = self.table.and_then(|table| table.get(key));
        item.and_then(Item::as_array)
            .is_some_and(toml_edit::Array::is_empty)
    }

    /// The line of a key path anywhere in the document.
    pub(super) fn line_of(&self, path: &str) -> Option<usize> {
        self.report.line_of(path)
    }

    /// Records what is wrong at a full key path.
    pub(super) fn fault_at(&self, path: &str, fault: Fault) {
        self.report.fault(path, fault);
    }

    /// A table; an empty section if the file has none.
    pub(super) fn table(&self, key: &'static str) -> Self {
        let item = self.item(key);
        self.child(self.key(key), item)
    }

    /// The inline table that an element of an array of this table is, if it is one.
    pub(super) fn inner(&self, path: &str, value: &'d Value) -> Option<Self> {
        let table = value.as_inline_table()?;
        Some(Self::new(self.report, path.to_owned(), Some(table)))
    }

    /// The tables of `[[key]]`, or of an array of inline tables.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Self> {
        let path = self.key(key);
        let Some(item) = self.item(key) else {
            return Vec::new();
        };
        if let Some(tables) = item.as_array_of_tables() {
            let tables = tables.iter().enumerate();
            return tables
                .map(|(index, table)| {
                    let path = format!("{path}[{index}]");
                    self.report.locate(path.clone(), table.span());
                    Self::new(self.report, path, Some(table))
                })
                .collect();
        }
        self.array(
            key,
            "an array of tables, such as [{ address = \"10.0.0.11:80\" }]",
        )
        .into_iter()
        .filter_map(|(path, value)| {
            let table = value.as_inline_table();
            if table.is_none() {
                let fault =
                    wrong_value_type(value, "a table, such as { address = \"10.0.0.11:80\" }");
                self.report.fault(&path, fault);
            }
            table.map(|table| Self::new(self.report, path, Some(table)))
        })
        .collect()
    }

    /// The tables `[key.NAME]`, with their names.
    pub(super) fn named(&self, key: &'static str) -> Vec<(&'d str, Self)> {
        let outer = self.table(key);
        let Some(table) = outer.table else {
            return Vec::new();
        };
        table
            .iter()
            .map(|(name, item)| (name, outer.child(outer.key(name), Some(item))))
            .collect()
    }

    fn child(&self, path: String, item: Option<&'d Item>) -> Self {
        let table = item.and_then(Item::as_table_like);
        if let (Some(item), None) = (item, table) {
            self.report
                .fault(&path, wrong_type(item, &format!("a table, [{path}]")));
        }
        Self::new(self.report, path, table)
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.into_inner();
        let given = self.table.into_iter().flat_map(TableLike::iter);
        for (key, _) in given.filter(|(key, _)| !asked.contains(key)) {
            let mut allowed = asked.clone();
            allowed.sort_unstable();
            allowed.dedup();
            let fault = Fault::new("unknown key")
                .did_you_mean(closest(key, asked.iter().copied()))
                .allowed(allowed.join(", "));
            self.report.fault(&join(&self.path, key), fault);
        }
    }
}

/// `path.key`, with quotes around a key that TOML would want quoted.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key = if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("\"{}\"", key.escape_default())
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

fn wrong_type(item: &Item, expected: &str) -> Fault {
    match item.as_value() {
        Some(value) => wrong_value_type(value, expected),
        None => Fault::new("is a table").allowed(expected),
    }
}

/// The fault of a value of another type than `expected`.
pub(super) fn wrong_value_type(value: &Value, expected: &str) -> Fault {
    let shown = value.clone().decorated("", "").to_string();
    Fault::new(format!("is of type {}", value.type_name()))
        .value(shown)
        .allowed(expected)
}
