//! What can be wrong with a kernel, and where.

use super::handler::Handler;
use std::fmt;

/// A position in a WGSL file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as its handler calls it; the kernel's own are `slipring/…`.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// The place in `file` just after the text `before`.
    pub(crate) fn at(file: &str, before: &str) -> Self {
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() as u32 + 1,
            column: before[line_start..].chars().count() as u32 + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Whose an opcode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpcodeClass {
    /// The kernel runs it.
    BuiltIn,
    /// Kept for later.
    Reserved,
}

impl fmt::Display for OpcodeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "built in",
            Self::Reserved => "reserved for the system",
        })
    }
}

/// What a handler's source may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declaration {
    /// A variable that is not `private`: a buffer, a uniform, workgroup memory.
    Variable,
    /// An entry point.
    EntryPoint,
    /// An `override` constant.
    Override,
}

impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Variable => "shared variable",
            Self::EntryPoint => "entry point",
            Self::Override => "override constant",
        })
    }
}

/// Why a kernel was not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum KernelError {
    /// The opcode is not for handlers.
    #[error(
        "handler `{function}`: opcode {opcode:#x} is {class}; use 8..=0xffef or 0x10000..=0x7fffffff"
    )]
    NotUserOpcode { opcode: u32, function: String, class: OpcodeClass },
    /// More segments than a handler may have, or none.
    #[error(
        "handler `{function}`: {segments} segments; opcode {opcode:#x} may have 1 to {most} (1 up \
         to 0xff, which may be packed)"
    )]
    Segments { opcode: u32, function: String, segments: u32, most: u32 },
    /// Two handlers for one opcode.
    #[error("opcode {opcode:#x} has two handlers, `{first}` and `{second}`")]
    DuplicateOpcode { opcode: u32, first: String, second: String },
    /// The source has no such function.
    #[error("{file}: no function `{function}`; write `fn {function}(job: Job) -> u32`")]
    MissingFunction { file: String, function: String },
    /// The function takes or returns something else.
    #[error("{place}: `{found}`; a handler is `fn {function}(job: Job) -> u32`")]
    WrongSignature { place: Place, function: String, found: String },
    /// The source declares something that only the kernel may.
    #[error("{place}: {declaration} `{name}`; a handler uses the kernel's functions instead")]
    Declares { place: Place, declaration: Declaration, name: String },
    /// A barrier: lanes of a handler do not wait for each other.
    #[error("{place}: a barrier; the lanes around a handler run something else and never meet it")]
    Barrier { place: Place },
    /// What only shaders of other stages may do: `discard`, derivatives.
    #[error("{place}: {what} belongs to fragment shaders; a handler is a compute shader")]
    WrongStage { place: Place, what: &'static str },
    /// Something of the kernel that handlers may not use.
    #[error("{place}: `{name}` is the kernel's own; handlers use what handler_api.wgsl declares")]
    NotForHandlers { place: Place, name: String },
    /// A name that the kernel or another handler's file has already. (All files are one module.)
    #[error("{place}: `{name}` is taken, by {taken_by}; give one of them another name")]
    NameTaken { place: Place, name: String, taken_by: Place },
    /// A name that hides one of WGSL's own, which the kernel uses.
    #[error("{place}: `{name}` hides a name of WGSL that the kernel uses; give it another name")]
    HidesBuiltin { place: Place, name: String },
    /// A variable that is too large to be a lane's own.
    #[error(
        "{place}: `{name}` has {bytes} bytes, and a lane's variable may have {}; put it in the \
         workspace",
        Handler::MAX_VARIABLE_BYTES
    )]
    TooLarge { place: Place, name: String, bytes: u32 },
    /// WGSL that does not parse or is not valid.
    #[error("{place}: {message}")]
    Wgsl { place: Place, message: String },
    /// Loops whose length is not told.
    #[error(
        "{place}: handler `{function}` has {loops} loops but declares {iterations} iterations; \
         add .iterations(the most that one call makes)"
    )]
    IterationsUnknown { place: Place, function: String, loops: u64, iterations: u32 },
}

/// Not even the smallest dispatch stays within a device's loop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum IterationError {
    /// One look at a slot.
    #[error(
        "one look at a slot makes up to {iterations} loop iterations, {} of them the handlers', \
         and the device ends loops after {limit}; split their work into more jobs, or handlers \
         among kernels", iterations.saturating_sub(*kernel)
    )]
    Look { iterations: u64, kernel: u64, limit: u32 },
    /// One fence over the whole ring.
    #[error(
        "one fence makes up to {iterations} loop iterations in a ring of {ring_slots} slots and \
         the device ends loops after {limit}; use a smaller ring"
    )]
    Fence { iterations: u64, ring_slots: u32, limit: u32 },
    /// One dispatch of a kernel that stays on: a look, and a walk over the ring.
    #[error(
        "staying on makes up to {iterations} loop iterations a dispatch with {ring_slots} slots, \
         and the device ends loops after {limit}; use a smaller ring, or split the handlers' work \
         into more jobs"
    )]
    Stay { iterations: u64, ring_slots: u32, limit: u32 },
}
