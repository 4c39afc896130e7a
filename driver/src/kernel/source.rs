//! WGSL put together from files, and the way back from a byte of it to a line of its file.

use super::error::Place;
use super::names::{declared, uses};
use std::ops::Range;

#[derive(Debug)]
struct Part {
    file: String,
    bytes: Range<usize>,
    is_user: bool,
}

/// The text and where its parts come from.
#[derive(Debug, Default)]
pub(crate) struct Source {
    text: String,
    parts: Vec<Part>,
}

impl Source {
    pub(crate) fn push_kernel(&mut self, file: &str, text: &str) {
        self.push(file, text, false);
    }

    pub(crate) fn push_user(&mut self, file: &str, text: &str) {
        self.push(file, text, true);
    }

    fn push(&mut self, file: &str, text: &str, is_user: bool) {
        let start = self.text.len();
        self.text.push_str(text);
        self.parts.push(Part { file: file.to_owned(), bytes: start..self.text.len(), is_user });
        // A comment without a line end must not reach into the next file.
        self.text.push('\n');
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    fn part(&self, byte: usize) -> Option<&Part> {
        self.parts.iter().rev().find(|part| part.bytes.start <= byte)
    }

    /// Whether a user wrote it.
    pub(crate) fn is_user(&self, span: naga::Span) -> bool {
        let byte = span.to_range().map(|range| range.start);
        byte.and_then(|byte| self.part(byte)).is_some_and(|part| part.is_user)
    }

    /// Whether one of the kernel's modules has this name.
    pub(crate) fn is_kernel_file(&self, file: &str) -> bool {
        self.parts.iter().any(|part| !part.is_user && part.file == file)
    }

    /// Where the users' text begins, which comes last.
    fn user_start(&self) -> usize {
        self.parts.iter().find(|part| part.is_user).map_or(0, |part| part.bytes.start)
    }

    /// A name that a user's file declares, where it does. (Naga keeps no span of entry points.)
    pub(crate) fn find_declared(&self, name: &str) -> naga::Span {
        let user = self.user_start();
        let mut names = declared(&self.text[user..]).into_iter();
        let found = names.find(|declared| declared.text == name).map(|name| user + name.start);
        found.map_or(naga::Span::UNDEFINED, |at| (at..at + name.len()).into())
    }

    /// The first name that a user's file declares and one of the kernel's modules uses.
    pub(crate) fn declared_and_used_in(&self, kernel_file: &str) -> Option<(&str, naga::Span)> {
        let module = self.parts.iter().find(|part| part.file == kernel_file)?;
        let used = &self.text[module.bytes.clone()];
        let user = self.user_start();
        let name = declared(&self.text[user..]).into_iter().find(|name| uses(used, name.text))?;
        let start = user + name.start;
        Some((name.text, (start..start + name.text.len()).into()))
    }

    /// Where a span starts; the end of its file for one past it.
    pub(crate) fn place(&self, span: naga::Span) -> Option<Place> {
        let byte = span.to_range()?.start;
        let part = self.part(byte)?;
        let before = self.text.get(part.bytes.start..byte.min(part.bytes.end))?;
        Some(Place::at(&part.file, before))
    }

    /// The text of a span up to `end`, on one line.
    pub(crate) fn excerpt(&self, span: naga::Span, end: char) -> String {
        let text = span.to_range().and_then(|range| self.text.get(range)).unwrap_or_default();
        let text = text.split(end).next().unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
