//! One case of a vector file: its fields, typed.

use super::bytes::{Bytes, check_len};
use super::meaning::Told;
use super::verdict::Shown;
use serde_json::{Map, Value};

pub struct Case<'a> {
    fields: &'a Map<String, Value>,
    name: &'a str,
    op: &'a str,
}

impl<'a> Case<'a> {
    pub fn new(value: &'a Value) -> Result<Self, String> {
        let fields = value.as_object().ok_or("a case is a JSON object")?;
        let text = |field| {
            let text = fields.get(field).and_then(Value::as_str);
            text.ok_or_else(|| format!("it has no `{field}`"))
        };
        Ok(Self { fields, name: text("name")?, op: text("op")? })
    }

    pub fn name(&self) -> &'a str {
        self.name
    }

    pub fn op(&self) -> &'a str {
        self.op
    }

    pub fn fields(&self) -> impl Iterator<Item = &'a str> {
        self.fields.keys().map(String::as_str)
    }

    pub fn get(&self, field: &str) -> Result<&'a Value, String> {
        self.fields.get(field).ok_or_else(|| format!("it has no `{field}`"))
    }

    fn typed<T>(&self, field: &str, kind: &str, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("`{field}` is no {kind}"))
    }

    pub fn text(&self, field: &str) -> Result<&'a str, String> {
        self.typed(field, "text", self.get(field)?.as_str())
    }

    pub fn u32(&self, field: &str) -> Result<u32, String> {
        self.typed(field, "u32", as_u32(self.get(field)?))
    }

    pub fn u64(&self, field: &str) -> Result<u64, String> {
        self.typed(field, "u64", self.get(field)?.as_u64())
    }

    pub fn bool(&self, field: &str) -> Result<bool, String> {
        self.typed(field, "boolean", self.get(field)?.as_bool())
    }

    /// A list whose entries `parse` understands.
    pub fn list<T>(
        &self,
        field: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, String> {
        let list = self.get(field)?.as_array();
        let list = list.and_then(|list| list.iter().map(parse).collect());
        self.typed(field, "list of the expected shape", list)
    }

    pub fn bytes(&self, field: &str) -> Result<Bytes, String> {
        Ok(Bytes::copied(&buffer(field, self.get(field)?)?))
    }

    fn expect(&self) -> Result<&'a Map<String, Value>, String> {
        self.typed("expect", "object", self.get("expect")?.as_object())
    }

    pub fn expect_fields(&self) -> Result<impl Iterator<Item = &'a str>, String> {
        Ok(self.expect()?.keys().map(String::as_str))
    }

    /// A field of the expectation, if it is there.
    pub fn expect_field(&self, field: &str) -> Option<&'a Value> {
        self.expect().ok()?.get(field)
    }

    /// What the case shows. Buffers are taken out of `ok`, and "unchanged" is resolved.
    pub fn shown(&self) -> Result<Shown, String> {
        let expect = self.expect()?;
        let mut shown = match (expect.get("ok"), expect.get("err")) {
            (Some(ok), None) => self.shown_ok(ok)?,
            (None, Some(err)) => Shown::new(Err(Told::parse(err, expect.get("detail"))?)),
            _ => return Err("it expects neither `ok` nor `err`, or both".to_owned()),
        };
        for (name, value) in expect.iter().filter(|(name, _)| is_whole_buffer(name)) {
            shown.buffers.insert(name.clone(), self.after(name, value)?);
        }
        Ok(shown)
    }

    fn shown_ok(&self, ok: &Value) -> Result<Shown, String> {
        let Some(fields) = ok.as_object() else { return Ok(Shown::new(Ok(ok.clone()))) };
        let mut values = Map::new();
        let mut shown = Shown::new(Ok(Value::Null));
        for (name, value) in fields {
            if is_whole_buffer(name) || is_buffer(name, value) {
                shown.buffers.insert(name.clone(), self.after(name, value)?);
            } else {
                values.insert(name.clone(), value.clone());
            }
        }
        shown.result = Ok(Value::Object(values));
        Ok(shown)
    }

    fn after(&self, name: &str, value: &Value) -> Result<Vec<u8>, String> {
        if value.as_str() != Some("unchanged") {
            return buffer(name, value);
        }
        let input = match name.trim_end_matches("_after") {
            "io" => "io_queue",
            input => input,
        };
        buffer(input, self.get(input)?)
    }
}

/// Whether an expectation of this name is a buffer ("out_after" is a list of records).
fn is_whole_buffer(name: &str) -> bool {
    name.ends_with("_after") && !["out_after", "done_count_after"].contains(&name)
}

pub fn as_u32(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|value| u32::try_from(value).ok())
}

pub fn as_u32s(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(as_u32).collect()
}

/// Bytes of the buffers that vectors call "empty".
fn empty_len(field: &str) -> Option<usize> {
    match field.trim_end_matches("_after") {
        "debug_log" => Some(1028),
        "io_queue" => Some(2048),
        _ => None,
    }
}

fn as_run(value: &Value) -> Option<(usize, &str)> {
    match value.as_array()?.as_slice() {
        [count, hex] => Some((usize::try_from(count.as_u64()?).ok()?, hex.as_str()?)),
        _ => None,
    }
}

/// Whether a field of `ok` is a buffer; one of no runs is told by its name.
fn is_buffer(name: &str, value: &Value) -> bool {
    let Some(runs) = value.as_array() else { return value.is_string() };
    match runs.first() {
        Some(run) => as_run(run).is_some(),
        None => ["control", "ring", "debug_log", "io_queue"].contains(&name),
    }
}

fn buffer(field: &str, value: &Value) -> Result<Vec<u8>, String> {
    let bad = || format!("`{field}` is no buffer");
    if let Some(text) = value.as_str() {
        return match empty_len(field) {
            Some(len) if text == "empty" => Ok(vec![0; len]),
            _ => unhex(text).ok_or_else(bad),
        };
    }
    let mut bytes = Vec::new();
    for run in value.as_array().ok_or_else(bad)? {
        let (count, hex) = as_run(run).ok_or_else(bad)?;
        let unit = unhex(hex).filter(|unit| unit.len().is_multiple_of(4)).ok_or_else(bad)?;
        let total = count.checked_mul(unit.len()).and_then(|more| more.checked_add(bytes.len()));
        check_len(total.map_or(u64::MAX, |total| total as u64))?;
        bytes.extend(unit.repeat(count));
    }
    Ok(bytes)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(&pair[0])? << 4 | digit(&pair[1])?) as u8)).collect()
}
