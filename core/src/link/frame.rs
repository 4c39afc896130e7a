//! Frames: kind, sequence, a body of words, CRC-32C; COBS, and 0x00 after it.

use super::crc::crc32c;

/// Kinds of frames, and how many words the body of each may have.
pub(super) mod kind {
    pub const HELLO: u8 = 1;
    pub const PUBLISH: u8 = 2;
    pub const ACK: u8 = 3;
    pub const RESULT: u8 = 4;
    pub const RESET: u8 = 5;

    pub(super) fn takes(kind: u8, words: u8) -> bool {
        match kind {
            HELLO => words == 11,
            PUBLISH => words == 16,
            ACK => words == 2 || words == 3,
            RESULT => (3..=15).contains(&words),
            RESET => words == 4,
            _ => false,
        }
    }
}

/// Words of the longest body, a publish's.
const BODY: usize = 16;
/// The longest frame on the wire: kind, sequence, body, CRC; COBS adds one byte to so few, and
/// the 0x00.
pub const WIRE_BYTES: usize = 2 + 4 * BODY + 4 + 2;

/// The frame that a low byte of its sequence number stands for: the one next to `near`.
pub(super) const fn near(near: u32, low: u8) -> u32 {
    near.wrapping_add(low.wrapping_sub(near as u8) as i8 as u32)
}

/// A frame that came whole: its CRC and its length are right.
pub(super) struct Frame<'a> {
    pub kind: u8,
    pub sequence: u8,
    /// Words of the body.
    pub words: u8,
    body: &'a [u32; BODY + 1],
}

impl Frame<'_> {
    /// A word of the body.
    #[inline(always)]
    pub const fn word(&self, index: usize) -> u32 {
        self.body[index]
    }

    /// The words of the body from one on.
    pub fn words_from(&self, first: usize) -> &[u32] {
        self.body.get(first..usize::from(self.words)).unwrap_or(&[])
    }
}

/// What a byte from the wire led to.
pub(super) enum Input<'a> {
    /// The frame goes on.
    More,
    /// A run of bytes that is no frame has ended.
    Damage,
    Frame(Frame<'a>),
}

/// Whom frames are for.
pub(super) trait Side {
    fn hear(&mut self, frame: Frame<'_>, now_ms: u32);

    /// Whether an event is to be taken before more is heard.
    fn has_event(&self) -> bool;

    fn count_damage(&mut self);
}

/// Finds frames in the bytes of a wire.
#[derive(Debug)]
pub(super) struct Deframer {
    /// Two bytes free, so that words of the body are words here; kind, sequence, body, CRC.
    buffer: [u32; 1 + BODY + 1],
    /// Bytes of the frame so far, at most one more than there is room for.
    len: u8,
    /// Bytes until the next that COBS has put in.
    left: u8,
    is_empty: bool,
}

impl Deframer {
    pub const fn new() -> Self {
        Self { buffer: [0; 1 + BODY + 1], len: 0, left: 0, is_empty: true }
    }

    fn push(&mut self, byte: u8) -> Input<'_> {
        if byte != 0 {
            self.push_coded(byte);
            return Input::More;
        }
        let (len, left, is_empty) = (self.len, self.left, self.is_empty);
        (self.len, self.left, self.is_empty) = (0, 0, true);
        match self.parse(len) {
            _ if is_empty => Input::More,
            Some(frame) if left == 0 => Input::Frame(frame),
            _ => Input::Damage,
        }
    }

    /// Takes bytes until `side` has an event, and says how many it took.
    pub fn feed(&mut self, side: &mut impl Side, bytes: &[u8], now_ms: u32) -> usize {
        if side.has_event() {
            return 0;
        }
        for (taken, byte) in bytes.iter().enumerate() {
            match self.push(*byte) {
                Input::More => {}
                Input::Damage => side.count_damage(),
                Input::Frame(frame) => {
                    side.hear(frame, now_ms);
                    if side.has_event() {
                        return taken + 1;
                    }
                }
            }
        }
        bytes.len()
    }

    /// The frame that has come last, as long as nothing is pushed. It had so many words.
    pub fn frame(&self, words: u8) -> Frame<'_> {
        let [head, body @ ..] = &self.buffer;
        let [_, _, kind, sequence] = head.to_le_bytes();
        Frame { kind, sequence, words, body }
    }

    fn push_coded(&mut self, byte: u8) {
        let is_code = self.left == 0;
        if is_code {
            self.left = byte;
        }
        self.left -= 1;
        if is_code && self.is_empty {
            self.is_empty = false;
            return;
        }
        let bytes = bytemuck::bytes_of_mut(&mut self.buffer);
        if let Some(place) = bytes.get_mut(2 + usize::from(self.len)) {
            *place = if is_code { 0 } else { byte };
            self.len += 1;
        } else {
            // No kind is as long as that.
            self.len = u8::MAX;
        }
    }

    fn parse(&self, len: u8) -> Option<Frame<'_>> {
        let words = (len / 4).checked_sub(1)?;
        let frame = self.frame(words);
        let (covered, crc) = frame.body.split_at_checked(usize::from(words))?;
        let is_whole = len % 4 == 2
            && kind::takes(frame.kind, words)
            && crc.first() == Some(&crc32c(frame.kind, frame.sequence, covered));
        is_whole.then_some(frame)
    }
}

/// The frame that is being sent.
#[derive(Debug)]
pub(super) struct Outbox {
    /// A 0x00, which some frames begin with; what COBS adds, kind, sequence, so that words of the body
    /// are words here, body, CRC, 0x00.
    buffer: [u32; 1 + BODY + 2],
    sent: u8,
    end: u8,
}

impl Outbox {
    pub const fn new() -> Self {
        Self { buffer: [0; 1 + BODY + 2], sent: 0, end: 0 }
    }

    pub const fn is_empty(&self) -> bool {
        self.sent == self.end
    }

    /// Moves what fits to `bytes`, and says how much.
    pub fn drain(&mut self, bytes: &mut [u8]) -> usize {
        let all = bytemuck::bytes_of(&self.buffer);
        let rest = all.get(usize::from(self.sent)..usize::from(self.end)).unwrap_or(&[]);
        let moved = rest.len().min(bytes.len());
        for (to, from) in bytes.iter_mut().zip(rest) {
            *to = *from;
        }
        self.sent += moved as u8;
        moved
    }

    /// Takes a frame, whose body is `head` and then `tail`: together, what its kind takes.
    pub fn put(&mut self, kind: u8, sequence: u8, head: &[u32], tail: &[u32]) {
        let [start, body @ ..] = &mut self.buffer;
        *start = u32::from_le_bytes([0, 0, kind, sequence]);
        let words = head.len() + tail.len();
        for (place, word) in body.iter_mut().zip(head.iter().chain(tail)) {
            *place = *word;
        }
        let crc = crc32c(kind, sequence, body.get(..words).unwrap_or(&[]));
        if let Some([crc_place, after]) = body.get_mut(words..words + 2) {
            (*crc_place, *after) = (crc, 0);
        }
        let end = 4 + 4 * words + 4;
        // A zero becomes the distance to the next, which here is the one behind it.
        let mut distance = 1;
        let bytes = bytemuck::bytes_of_mut(&mut self.buffer);
        for byte in bytes.get_mut(2..end).unwrap_or(&mut []).iter_mut().rev() {
            if *byte == 0 {
                (*byte, distance) = (distance, 1);
            } else {
                distance += 1;
            }
        }
        bytes[1] = distance;
        // A frame that begins anew ends first what the wire may have made up in the silence before.
        let after_silence = matches!(kind, kind::HELLO | kind::RESET);
        (self.sent, self.end) = (u8::from(!after_silence), end as u8 + 1);
    }
}
