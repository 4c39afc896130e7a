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

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(line: &str) -> Counts {
        Counts::find(line).unwrap()
    }

    const HOST: &str = "counts   published=3 done=2 faulted=1 not_run=0 unknown=0 orphaned=0";
    const BOARD: &str = "1.5 INFO counts published=3 done=2 faulted=1 not_run=0 unknown=0 wrong=0";

    #[test]
    fn counts_that_agree_are_accepted() {
        assert_eq!(compare(&counts(BOARD), &counts(HOST)), Ok(()));
    }

    #[test]
    fn counts_that_differ_are_named() {
        let refused = compare(&counts(&BOARD.replace("done=2", "done=1")), &counts(HOST));
        assert!(refused.unwrap_err().ends_with(": done"));
    }

    #[test]
    fn jobs_without_an_end_are_refused() {
        let [board, host] = [BOARD, HOST].map(|line| line.replace("published=3", "published=4"));
        assert!(compare(&counts(&board), &counts(&host)).unwrap_err().contains("of 4 jobs"));
    }

    #[test]
    fn results_that_are_wrong_are_refused() {
        let board = BOARD.replace("wrong=0", "wrong=1");
        assert!(compare(&counts(&board), &counts(HOST)).unwrap_err().starts_with("1 results"));
    }

    #[test]
    fn a_side_that_has_not_counted_is_named() {
        let refused = compare(&Counts::default(), &counts(HOST));
        assert_eq!(refused, Err("the firmware has not counted: published".to_owned()));
        assert!(Counts::find("link     WireUp").is_none());
    }
}
