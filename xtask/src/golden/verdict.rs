//! What a case shows, what ours does, and how the two are judged.

use super::bytes::{Bytes, difference};
use super::items::Items;
use super::meaning::Told;
use super::refusal::Refusal;
use serde_json::Value;
use std::collections::BTreeMap;

/// How a case ends that is no failure.
pub enum Verdict {
    Pass,
    /// Not equal, or not compared; the text names the item that explains it.
    Skip(String),
}

impl Verdict {
    pub fn by_item(item: u8) -> Self {
        Self::by_items(Items::of(&[item]))
    }

    pub fn by_items(items: Items) -> Self {
        Self::Skip(items.to_string())
    }
}

type Buffers = BTreeMap<String, Vec<u8>>;

/// What a vector says of the reference, or the rules of what it would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub result: Result<Value, Told>,
    /// Whole buffers afterwards, by their names in the vector.
    pub buffers: Buffers,
}

impl Shown {
    pub fn new(result: Result<Value, Told>) -> Self {
        Self { result, buffers: Buffers::new() }
    }

    pub fn with(mut self, name: &str, buffer: Vec<u8>) -> Self {
        self.buffers.insert(name.to_owned(), buffer);
        self
    }
}

/// What ours did.
pub struct Ours {
    pub result: Result<Value, Refusal>,
    buffers: Buffers,
}

impl Ours {
    pub fn new(result: Result<Value, Refusal>) -> Self {
        Self { result, buffers: Buffers::new() }
    }

    pub fn with(mut self, name: &str, buffer: &Bytes) -> Self {
        self.buffers.insert(name.to_owned(), buffer.get().to_vec());
        self
    }

    /// Whether this is what `shown` says; the error is the difference.
    fn check(&self, shown: &Shown) -> Result<(), String> {
        match (&shown.result, &self.result) {
            (Ok(expected), Ok(came)) if expected == came => {}
            (Err(told), Err(refusal)) if told.means(refusal) => {}
            (expected, came) => {
                let expected = match expected {
                    Ok(value) => format!("ok {}", brief(value)),
                    Err(told) => told.to_string(),
                };
                let came = match came {
                    Ok(value) => format!("ok {}", brief(value)),
                    Err(refusal) => format!("error \"{refusal}\""),
                };
                return Err(format!("{expected} was expected, {came} came"));
            }
        }
        for (name, expected) in &shown.buffers {
            let came = self.buffers.get(name).ok_or_else(|| format!("unknown field `{name}`"))?;
            if came != expected {
                return Err(format!("{name}: {}", difference(expected, came)));
            }
        }
        Ok(())
    }
}

/// Judges a case. `rules` says what the reference does with some of `items` in force.
pub fn judge(
    expected: &Shown,
    ours: &Ours,
    items: &[u8],
    rules: impl Fn(Items) -> Shown,
) -> Result<Verdict, String> {
    let Err(difference) = ours.check(expected) else { return Ok(Verdict::Pass) };
    let mut items = Items::of(items);
    let all = rules(items);
    if rules(Items::NONE) != *expected || ours.check(&all).is_err() {
        return Err(difference);
    }
    for item in items.iter() {
        if rules(items.without(item)) == all {
            items = items.without(item);
        }
    }
    Ok(Verdict::by_items(items))
}

/// Judges a case that no item changes.
pub fn judge_plain(expected: &Shown, ours: &Ours) -> Result<Verdict, String> {
    ours.check(expected).map(|()| Verdict::Pass)
}

/// A value for one line.
fn brief(value: &Value) -> String {
    const MAX_CHARS: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
