//! What both sides have counted.

use std::collections::BTreeMap;

/// What both count alike.
const SHARED: [&str; 5] = ["published", "done", "faulted", "not_run", "unknown"];

/// A side's counts, by their names.
#[derive(Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// The counts in a line that has some: `counts name=number …`.
    pub fn find(line: &str) -> Option<Self> {
        let (_, counts) = line.split_once("counts ")?;
        let mut found = BTreeMap::new();
        for word in counts.split_whitespace() {
            let (name, number) = word.split_once('=')?;
            found.insert(name.to_owned(), number.parse().ok()?);
        }
        Some(Self(found))
    }

    fn get(&self, side: &str, name: &str) -> Result<u64, String> {
        self.0.get(name).copied().ok_or_else(|| format!("the {side} has not counted: {name}"))
    }
}

/// Shows both sides' counts, and demands that they agree and that every job has run once.
pub fn compare(firmware: &Counts, host: &Counts) -> Result<(), String> {
    println!("\n{:<10} {:>9} {:>9}", "jobs", "firmware", "host");
    let mut differ = Vec::new();
    for name in SHARED {
        let (on_board, on_host) = (firmware.get("firmware", name)?, host.get("host", name)?);
        println!("{name:<10} {on_board:>9} {on_host:>9}");
        if on_board != on_host {
            differ.push(name);
        }
    }
    if !differ.is_empty() {
        return Err(format!("the two sides do not agree: {}", differ.join(", ")));
    }
    let [published, done, faulted, ..] = SHARED.map(|name| host.0[name]);
    let wrong = firmware.get("firmware", "wrong")?;
    println!("{:<10} {wrong:>9}", "wrong");
    // Some are to fault.
    if published != done + faulted || faulted == 0 || done == 0 {
        return Err(format!("of {published} jobs, {done} are done and {faulted} faulted"));
    }
    if wrong != 0 {
        return Err(format!("{wrong} results are not what the firmware has computed"));
    }
    println!("every job ran once, and every result is what the firmware has computed itself");
    Ok(())
}
