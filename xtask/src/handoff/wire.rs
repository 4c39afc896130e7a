//! A wire between two sockets that loses frames and damages them.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::{self, JoinHandle};

use crate::image;

/// Ends every frame of the link.
const DELIMITER: u8 = 0;

/// What becomes of frames.
#[derive(Clone, Copy)]
pub struct Damage {
    /// The part that is lost or has a bit flipped, one as often as the other; 0 to 1.
    pub rate: f64,
    /// Of what is drawn; not 0.
    pub seed: u64,
}

/// An open wire.
pub struct Wire(JoinHandle<std::io::Result<[Tally; 2]>>);

/// Of one direction.
#[derive(Default)]
pub struct Tally {
    frames: u64,
    lost: u64,
    flipped: u64,
}

impl Wire {
    /// Connects to the socket at `board`, and has the host connect to one at `path`.
    pub fn open(path: &Path, board: &Path, damage: Damage) -> Result<Self, String> {
        let to_board = image::connect(board)?;
        let listener =
            UnixListener::bind(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(thread::spawn(move || {
            let (to_host, _) = listener.accept()?;
            let up = Direction::new(&to_board, &to_host, damage)?;
            let down =
                Direction::new(&to_host, &to_board, Damage { seed: !damage.seed, ..damage })?;
            let up = thread::spawn(move || up.carry());
            let down = down.carry();
            Ok([up.join().unwrap_or_default(), down])
        })))
    }

    /// What the wire has done, once both ends have gone.
    pub fn close(self) -> Result<String, String> {
        let [up, down] = match self.0.join() {
            Ok(Ok(tallies)) => tallies,
            Ok(Err(error)) => return Err(format!("the wire: {error}")),
            Err(_) => return Err("the wire has panicked".to_owned()),
        };
        let say = |Tally { frames, lost, flipped }| {
            format!("{frames} frames, {lost} of them lost, {flipped} damaged")
        };
        Ok(format!("up {}; down {}", say(up), say(down)))
    }
}

/// One direction of the wire.
struct Direction {
    from: UnixStream,
    to: UnixStream,
    damage: Damage,
    tally: Tally,
}

impl Direction {
    fn new(from: &UnixStream, to: &UnixStream, damage: Damage) -> std::io::Result<Self> {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        Ok(Self { from, to, damage, tally: Tally::default() })
    }

    /// Carries frames until either end has gone, and then closes both.
    fn carry(mut self) -> Tally {
        let (mut bytes, mut frame) = ([0; 1024], Vec::new());
        'wire: while let Ok(len @ 1..) = self.from.read(&mut bytes) {
            for byte in &bytes[..len] {
                frame.push(*byte);
                if *byte == DELIMITER {
                    if self.spares(&mut frame) && self.to.write_all(&frame).is_err() {
                        break 'wire;
                    }
                    frame.clear();
                }
            }
        }
        // The other direction may have done so.
        let _ = self.from.shutdown(Shutdown::Both);
        let _ = self.to.shutdown(Shutdown::Both);
        self.tally
    }

    /// Perhaps damages a frame; false if it is lost.
    fn spares(&mut self, frame: &mut [u8]) -> bool {
        self.tally.frames += 1;
        let draw = self.draw();
        if draw as f64 / u64::MAX as f64 >= self.damage.rate {
            return true;
        }
        if draw.is_multiple_of(2) {
            self.tally.lost += 1;
            return false;
        }
        self.tally.flipped += 1;
        let bit = self.draw() as usize % (8 * frame.len());
        frame[bit / 8] ^= 1 << (bit % 8);
        true
    }

    /// Marsaglia's xorshift64.
    fn draw(&mut self) -> u64 {
        let state = &mut self.damage.seed;
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: usize = 1000;

    /// What of many frames comes through one direction.
    fn carried(damage: Damage) -> (Vec<u8>, Tally) {
        let (mut near, from) = UnixStream::pair().unwrap();
        let (to, mut far) = UnixStream::pair().unwrap();
        let direction = Direction::new(&from, &to, damage).unwrap();
        let carrying = thread::spawn(move || direction.carry());
        let hearing = thread::spawn(move || {
            let mut heard = Vec::new();
            far.read_to_end(&mut heard).unwrap();
            heard
        });
        near.write_all(&[[7, 8, 9, DELIMITER]; FRAMES].concat()).unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        drop((from, to));
        let tally = carrying.join().unwrap();
        (hearing.join().unwrap(), tally)
    }

    #[test]
    fn a_good_wire_changes_nothing() {
        let (heard, tally) = carried(Damage { rate: 0.0, seed: 1 });
        assert_eq!(heard, [[7, 8, 9, DELIMITER]; FRAMES].concat());
        assert_eq!((tally.frames, tally.lost, tally.flipped), (FRAMES as u64, 0, 0));
    }

    #[test]
    fn a_bad_wire_loses_and_flips_as_often_as_it_is_told_and_says_so() {
        let (heard, tally) = carried(Damage { rate: 0.2, seed: 1 });
        assert_eq!(heard.len() as u64, 4 * (FRAMES as u64 - tally.lost));
        assert!((70..130).contains(&tally.lost), "{}", tally.lost);
        assert!((70..130).contains(&tally.flipped), "{}", tally.flipped);
        let flips: u32 = heard.chunks(4).map(flipped_bits).sum();
        assert_eq!(u64::from(flips), tally.flipped);
    }

    #[test]
    fn a_wire_is_as_bad_again_with_the_same_seed() {
        let heard = |seed| carried(Damage { rate: 0.2, seed }).0;
        assert_eq!(heard(1), heard(1));
        assert_ne!(heard(1), heard(2));
    }

    fn flipped_bits(frame: &[u8]) -> u32 {
        frame.iter().zip([7, 8, 9, DELIMITER]).map(|(a, b)| (a ^ b).count_ones()).sum()
    }
}
