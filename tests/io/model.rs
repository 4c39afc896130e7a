//! What requests do, on the CPU: random ones, and what has to become of each.

use fastrand::Rng;
use slipring_core::io_queue::op;
use slipring_driver::input::Access;
use std::collections::BTreeMap;
use std::ops::Range;

/// The most of a region.
pub const REGION_BYTES: u32 = 256;

/// What a job asks for, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    op: u32,
    source: u32,
    destination: u32,
    offset: u64,
    bytes: u32,
    /// The job's first observable.
    pub own: u32,
    first_word: u32,
    /// What is filled before: a seed, and how many words.
    fill: [u32; 2],
    /// The bytes moved and the sum of their words, or the error number.
    pub end: Result<[u32; 2], i32>,
}

impl Request {
    pub fn args(&self) -> [u32; 10] {
        let offset = [self.offset as u32, (self.offset >> 32) as u32];
        let [seed, words] = self.fill;
        [
            self.op,
            self.source,
            self.destination,
            offset[0],
            offset[1],
            self.bytes,
            self.own,
            self.first_word,
            seed,
            words,
        ]
    }
}

enum Entry {
    File { bytes: Vec<u8>, range: Range<u64>, access: Access },
    Region { bytes: Range<usize>, access: Access },
}

/// Files and the arena as they have to be.
pub struct Model {
    /// By handle.
    entries: BTreeMap<u32, Entry>,
    /// The handles of each job's region.
    regions: Vec<u32>,
    jobs: u32,
    pub arena: Vec<u8>,
}

/// The sum that handlers make of words.
pub fn sum(words: impl Iterator<Item = u32>) -> u32 {
    words.fold(0u32, |sum, word| sum.wrapping_mul(31).wrapping_add(word))
}

impl Model {
    pub fn new(jobs: u32) -> Self {
        let arena = vec![0; (jobs * REGION_BYTES) as usize];
        Self { entries: BTreeMap::new(), regions: Vec::new(), jobs, arena }
    }

    pub fn add_file(&mut self, handle: u32, bytes: &[u8], range: Range<u64>, access: Access) {
        self.entries.insert(handle, Entry::File { bytes: bytes.to_vec(), range, access });
    }

    pub fn add_region(&mut self, handle: u32, bytes: Range<usize>, access: Access) {
        self.entries.insert(handle, Entry::Region { bytes, access });
        self.regions.push(handle);
    }

    /// Where the arena is not what it should be.
    pub fn differs(&self, arena: &[u8]) -> Option<String> {
        let mut bytes = self.arena.iter().zip(arena).enumerate();
        let (at, (expected, is)) = bytes.find(|(_, (expected, is))| expected != is)?;
        Some(format!("byte {at} is {is}, and {expected} was expected"))
    }

    /// What the file that is written has to be.
    pub fn written(&self) -> &[u8] {
        let mut entries = self.entries.values();
        let written = entries.find_map(|entry| match entry {
            Entry::File { bytes, access, .. } if access.write => Some(bytes),
            _ => None,
        });
        written.expect("there is one")
    }

    /// Requests that may be served in any order: none touches what another one writes.
    pub fn round(&mut self, seed: u64) -> Vec<Request> {
        let mut rng = Rng::with_seed(seed);
        let jobs = rng.u32(1..=self.jobs);
        let mut order: Vec<_> = (0..self.jobs).collect();
        rng.shuffle(&mut order);
        order.truncate(jobs as usize);
        order.into_iter().map(|job| self.request(&mut rng, job)).collect()
    }

    /// A job's request, and what it does.
    fn request(&mut self, rng: &mut Rng, job: u32) -> Request {
        let is_hostile = rng.u32(..10) == 0;
        loop {
            let mut request = match rng.u32(..20) {
                0 => self.fence(job),
                1..12 => self.read(rng, job),
                _ => self.write(rng, job),
            };
            if is_hostile {
                spoil(rng, &mut request);
            }
            request.end = self.judge(&request).map(|_| [0; 2]);
            if request.end.is_err() == is_hostile {
                self.serve(&mut request);
                return request;
            }
        }
    }

    fn fence(&self, job: u32) -> Request {
        Request {
            op: op::FENCE,
            source: 0,
            destination: 0,
            offset: 0,
            bytes: 0,
            own: 2 * job,
            first_word: job * REGION_BYTES / 4,
            fill: [0; 2],
            end: Ok([0; 2]),
        }
    }

    /// Reads of one of three files: a long one, one that ends before its range, one that is written.
    fn read(&self, rng: &mut Rng, job: u32) -> Request {
        let source = rng.u32(1..=3);
        let bytes = rng.u32(1..=REGION_BYTES);
        let offset = match source {
            1 => rng.u64(..199_990),
            2 => rng.u64(..1500),
            _ => self.share(rng, job),
        };
        // Now and then the whole rest.
        let bytes = if source == 2 && rng.u32(..4) == 0 { 0 } else { bytes };
        let (op, destination) = (op::READ, self.regions[job as usize]);
        Request { op, source, destination, offset, bytes, ..self.fence(job) }
    }

    /// Writes of what the job has filled in, wholly, partly or not at all.
    fn write(&self, rng: &mut Rng, job: u32) -> Request {
        let (op, source, destination) = (op::WRITE, self.regions[job as usize], 3);
        let (offset, bytes) = (self.share(rng, job), rng.u32(..=REGION_BYTES));
        let fill = [rng.u32(..), rng.u32(..=self.room(job).len() as u32 / 4)];
        Request { op, source, destination, offset, bytes, fill, ..self.fence(job) }
    }

    /// An offset in the part of the written file that is the job's own.
    fn share(&self, rng: &mut Rng, job: u32) -> u64 {
        u64::from(job) * 1024 + rng.u64(..1024 - u64::from(REGION_BYTES))
    }

    fn room(&self, job: u32) -> Range<usize> {
        match &self.entries[&self.regions[job as usize]] {
            Entry::Region { bytes, .. } => bytes.clone(),
            Entry::File { .. } => unreachable!("regions are listed"),
        }
    }

    /// The file, the offset in it, the place in the arena and the bytes; or the error number.
    fn judge(&self, request: &Request) -> Result<(u32, u64, usize, u64), i32> {
        let Request { op, source, destination, offset, bytes, .. } = *request;
        let is_read = op == op::READ;
        let [file, region] = match op {
            op::READ => [source, destination],
            op::WRITE => [destination, source],
            op::FENCE => return Ok((0, 0, 0, 0)),
            _ => return Err(libc::EOPNOTSUPP),
        };
        let (range, may, room, may_too) = match (self.entries.get(&file), self.entries.get(&region))
        {
            (
                Some(Entry::File { range, access, .. }),
                Some(Entry::Region { bytes, access: too }),
            ) => (range, access, bytes, too),
            _ => return Err(libc::EBADF),
        };
        if !(if is_read { may.read && may_too.write } else { may.write && may_too.read }) {
            return Err(libc::EACCES);
        }
        let len = range.end - range.start;
        let bytes = match (bytes, is_read) {
            (0, true) if offset > len => return Err(libc::ERANGE),
            (0, true) => len - offset,
            (0, false) => room.len() as u64,
            (bytes, _) => bytes.into(),
        };
        if u128::from(offset) + u128::from(bytes) > u128::from(u64::MAX) {
            return Err(libc::EOVERFLOW);
        }
        if offset + bytes > len || bytes > room.len() as u64 {
            return Err(libc::ERANGE);
        }
        Ok((file, range.start + offset, room.start, bytes))
    }

    fn serve(&mut self, request: &mut Request) {
        let first = 4 * request.first_word as usize;
        let [seed, words] = request.fill;
        for i in 0..words {
            let at = first + 4 * i as usize;
            let word = seed.wrapping_add(i).wrapping_mul(2_654_435_761);
            self.arena[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let Ok((file, offset, at, bytes)) = self.judge(request) else { return };
        let (offset, mut moved) = (offset as usize, bytes as usize);
        match self.entries.get_mut(&file) {
            Some(Entry::File { bytes: file, .. }) if request.op == op::READ => {
                let rest = &file[offset.min(file.len())..];
                moved = moved.min(rest.len());
                self.arena[at..at + moved].copy_from_slice(&rest[..moved]);
                self.arena[at + moved..at + moved.next_multiple_of(4)].fill(0);
            }
            Some(Entry::File { bytes: file, .. }) => {
                file[offset..offset + moved].copy_from_slice(&self.arena[at..at + moved]);
            }
            _ => {}
        }
        let words = self.arena[first..first + moved.next_multiple_of(4)].chunks(4);
        let words = words.map(|word| u32::from_le_bytes(word.try_into().expect("of four bytes")));
        request.end = Ok([moved as u32, sum(words)]);
    }
}

/// Makes a request one that may be wrong.
fn spoil(rng: &mut Rng, request: &mut Request) {
    // What it would fill, nobody looks at.
    let wild = |rng: &mut Rng| match rng.u32(..4) {
        0 => rng.u32(..),
        1 => 0,
        2 => rng.u32(..8),
        _ => rng.u32(..120),
    };
    for _ in 0..rng.u32(1..3) {
        match rng.u32(..6) {
            0 => request.op = [0, 4, rng.u32(..), u32::MAX][rng.usize(..4)],
            1 => request.source = wild(rng),
            2 => request.destination = wild(rng),
            3 => request.offset = u64::MAX - rng.u64(..300),
            4 => request.offset = rng.u64(..) >> rng.u32(..60),
            _ => request.bytes = rng.u32(..) >> rng.u32(..24),
        }
    }
}
