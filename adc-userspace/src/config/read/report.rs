//! Where errors are gathered while a document is read, with the line of every key.

use std::{cell::RefCell, collections::HashMap, ops::Range, path::Path};

use super::super::error::{ConfigError, Fault};

/// Errors so far, and the lines that later ones will need.
pub(super) struct Report<'d> {
    file: &'d Path,
    /// Offsets of the first byte of each line.
    line_starts: Vec<usize>,
    lines: RefCell<HashMap<String, usize>>,
    errors: RefCell<Vec<ConfigError>>,
}

impl<'d> Report<'d> {
    pub(super) fn new(file: &'d Path, text: &str) -> Self {
        let after_newlines = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(offset, _)| offset + 1);
        Self {
            file,
            line_starts: std::iter::once(0).chain(after_newlines).collect(),
            lines: RefCell::default(),
            errors: RefCell::default(),
        }
    }

    /// Remembers which line a key is on.
    pub(super) fn locate(&self, key: String, span: Option<Range<usize>>) {
        if let Some(span) = span {
            self.lines.borrow_mut().insert(key, self.line(span.start));
        }
    }

    /// The line of a key, or of the nearest table around it.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        let lines = self.lines.borrow();
        let mut key = key;
        loop {
            if let Some(line) = lines.get(key) {
                return Some(*line);
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }

    /// Records what is wrong with the value at `key`.
    pub(super) fn fault(&self, key: &str, fault: Fault) {
        self.errors.borrow_mut().push(ConfigError {
            file: self.file.to_owned(),
            line: self.line_of(key),
            column: None,
            key: Some(key.to_owned()),
            fault,
        });
    }

    /// Records a syntax error at a byte offset of the document.
    pub(super) fn syntax(&self, text: &str, offset: Option<usize>, fault: Fault) {
        let line = offset.map(|offset| self.line(offset));
        let column = offset.zip(line).map(|(offset, line)| {
            let start = self.line_starts[line - 1];
            text.get(start..offset).map_or(1, |s| s.chars().count() + 1)
        });
        self.errors.borrow_mut().push(ConfigError {
            file: self.file.to_owned(),
            line,
            column,
            key: None,
            fault,
        });
    }

    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors.into_inner()
    }

    /// Line of a byte offset, from 1.
    fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }
}
