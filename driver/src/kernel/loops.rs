//! Counts the loops that a function may pass, with those of everything it calls.

use naga::{Block, Function, Handle, Module, Statement};
use std::collections::HashMap;

/// Loops of a function and of everything it calls, each as often as it is reached in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loops {
    /// In the user's source.
    pub(crate) own: u64,
    /// In the kernel's functions.
    pub(crate) kernel: u64,
    /// Of those, the ones that a loop of the user's passes again and again.
    pub(crate) nested: u64,
    /// Of the kernel's, those that look for a free IO slot.
    pub(crate) scans: u64,
    /// Of those, the nested ones.
    pub(crate) nested_scans: u64,
}

/// The function of io.wgsl that looks for a free IO slot.
const SCAN: &str = "reserve_io_slot";

/// Counts each function once.
pub(crate) struct LoopCounter<'a> {
    module: &'a Module,
    is_user: &'a dyn Fn(Handle<Function>) -> bool,
    known: HashMap<Handle<Function>, Loops>,
}

impl<'a> LoopCounter<'a> {
    pub(crate) fn new(module: &'a Module, is_user: &'a dyn Fn(Handle<Function>) -> bool) -> Self {
        Self { module, is_user, known: HashMap::new() }
    }

    pub(crate) fn of_function(&mut self, handle: Handle<Function>) -> Loops {
        if let Some(known) = self.known.get(&handle) {
            return *known;
        }
        let mut loops = Loops::default();
        // This ends: WGSL has no recursion.
        let function = &self.module.functions[handle];
        self.add(&function.body, (self.is_user)(handle), false, &mut loops);
        if function.name.as_deref() == Some(SCAN) {
            loops.scans = loops.kernel;
        }
        self.known.insert(handle, loops);
        loops
    }

    /// Loops of a function of the kernel that is no callee, such as an entry point.
    pub(crate) fn of_kernel(&mut self, function: &Function) -> u64 {
        let mut loops = Loops::default();
        self.add(&function.body, false, false, &mut loops);
        loops.kernel
    }

    fn add(&mut self, block: &Block, is_user: bool, in_loop: bool, loops: &mut Loops) {
        for statement in block {
            match statement {
                Statement::Block(block) => self.add(block, is_user, in_loop, loops),
                Statement::If { accept, reject, .. } => {
                    self.add(accept, is_user, in_loop, loops);
                    self.add(reject, is_user, in_loop, loops);
                }
                Statement::Switch { cases, .. } => {
                    cases.iter().for_each(|case| self.add(&case.body, is_user, in_loop, loops));
                }
                Statement::Loop { body, continuing, .. } => {
                    let count = if is_user { &mut loops.own } else { &mut loops.kernel };
                    *count = count.saturating_add(1);
                    self.add(body, is_user, is_user || in_loop, loops);
                    self.add(continuing, is_user, is_user || in_loop, loops);
                }
                Statement::Call { function, .. } => {
                    let callee = self.of_function(*function);
                    let (nested, nested_scans) = match in_loop {
                        true => (callee.kernel, callee.scans),
                        false => (callee.nested, callee.nested_scans),
                    };
                    loops.own = loops.own.saturating_add(callee.own);
                    loops.kernel = loops.kernel.saturating_add(callee.kernel);
                    loops.nested = loops.nested.saturating_add(nested);
                    loops.scans = loops.scans.saturating_add(callee.scans);
                    loops.nested_scans = loops.nested_scans.saturating_add(nested_scans);
                }
                _ => {}
            }
        }
    }
}
