//! The names in a WGSL file, read without the compiler: which it declares, which it uses.
//!
//! The files of a kernel are one module, and WGSL lets a declaration hide a name of its own, such
//! as `max`. So a declaration in one file could quietly change what another file means.

use super::error::{KernelError, Place};
use super::handler::Handler;
use std::collections::HashSet;

/// An identifier, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
}

/// Identifiers, keywords among them, and single characters of everything else.
fn tokens(source: &str) -> impl Iterator<Item = Name<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &source[at..];
            let start = at;
            let first = rest.chars().next()?;
            if rest.starts_with("//") {
                at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                at += block_comment(rest);
            } else if first.is_whitespace() {
                at += first.len_utf8();
            } else if is_identifier(first) {
                let len = rest.find(|c| !is_identifier(c)).unwrap_or(rest.len());
                at += len;
                return Some(Name { text: &rest[..len], start });
            } else {
                at += first.len_utf8();
                return Some(Name { text: &rest[..first.len_utf8()], start });
            }
        }
    })
}

fn is_identifier(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Bytes of the comment that `text` begins with; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The names that a file declares outside of functions.
pub(super) fn declared(source: &str) -> Vec<Name<'_>> {
    let mut names = Vec::new();
    let (mut depth, mut angle) = (0i32, 0i32);
    let mut expects_name = false;
    for token in tokens(source) {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            "<" if expects_name => angle += 1,
            ">" if expects_name => angle -= 1,
            "fn" | "struct" | "alias" | "const" | "override" | "var" if depth == 0 => {
                (expects_name, angle) = (true, 0);
            }
            name if expects_name && angle == 0 && name.starts_with(is_identifier) => {
                names.push(token);
                expects_name = false;
            }
            _ => {}
        }
    }
    names
}

/// Whether a name stands anywhere in a file.
pub(super) fn uses(source: &str, name: &str) -> bool {
    tokens(source).any(|token| token.text == name)
}

/// The names that a file takes from outside of its functions: not those that it binds in them
/// (`let name`, `name: type`), and not members (`.name`).
fn used(source: &str) -> Vec<Name<'_>> {
    let tokens: Vec<Name<'_>> = tokens(source).collect();
    let is = |index: usize, texts: &[&str]| {
        tokens.get(index).is_some_and(|token| texts.contains(&token.text))
    };
    let mut bound = HashSet::new();
    let mut used = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let (before, after) = (index.wrapping_sub(1), index + 1);
        if is(before, &["let", "var", "const"]) || is(after, &[":"]) {
            bound.insert(token.text);
        } else if !is(before, &["."]) {
            used.push(*token);
        }
    }
    used.retain(|name| !bound.contains(name.text));
    used
}

/// Whether any file declares or uses a name that another one declares.
pub(super) fn check(files: &[&Handler]) -> Result<(), KernelError> {
    for declaring in files {
        let theirs = declared(declaring.source());
        for file in files.iter().filter(|file| !file.shares_file(declaring)) {
            for name in declared(file.source()).into_iter().chain(used(file.source())) {
                if let Some(taken) = theirs.iter().find(|taken| taken.text == name.text) {
                    return Err(KernelError::NameTaken {
                        place: place(file, name.start),
                        name: name.text.to_owned(),
                        taken_by: place(declaring, taken.start),
                    });
                }
            }
        }
    }
    Ok(())
}

fn place(file: &Handler, byte: usize) -> Place {
    Place::at(file.file(), &file.source()[..byte])
}
