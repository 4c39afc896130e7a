//! Serial devices: raw, 8N1, at any rate that the device has.

use super::wire::{WireError, at};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::termios::{
    ControlModes, InputModes, OptionalActions, QueueSelector, SpecialCodeIndex, ioctl_tiocexcl,
    ioctl_tiocnxcl, tcflush, tcgetattr, tcsetattr,
};
use std::os::fd::OwnedFd;
use std::path::Path;

/// How far a device's rate may be off, in percent: a byte's last bit is then still sampled right.
const TOLERANCE_PERCENT: u64 = 2;

/// Opens a device and sets it up.
pub(super) fn open(path: &Path, baud: u32, rts_cts: bool) -> Result<OwnedFd, WireError> {
    // Not to block: it would wait for a carrier.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = rustix::fs::open(path, flags, Mode::empty()).map_err(at("open"))?;
    let mut modes = tcgetattr(&device).map_err(at("tcgetattr"))?;
    // Who else asks is told: root may open what is exclusive.
    flock(&device, FlockOperation::NonBlockingLockExclusive).map_err(at("flock"))?;
    modes.make_raw();
    modes.input_modes.remove(InputModes::IXOFF | InputModes::IXANY | InputModes::INPCK);
    modes.control_modes.remove(ControlModes::CSIZE | ControlModes::CSTOPB | ControlModes::PARENB);
    modes.control_modes.insert(ControlModes::CS8 | ControlModes::CREAD | ControlModes::CLOCAL);
    modes.control_modes.set(ControlModes::CRTSCTS, rts_cts);
    // A read waits for a byte: one of none is a device that has gone.
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    modes.set_speed(baud).map_err(at("set_speed"))?;
    tcsetattr(&device, OptionalActions::Now, &modes).map_err(at("tcsetattr"))?;
    // A driver that cannot takes another one, and says nothing.
    let actual = tcgetattr(&device).map_err(at("tcgetattr"))?.output_speed();
    check_baud(baud, actual)?;
    ioctl_tiocexcl(&device).map_err(at("TIOCEXCL"))?;
    Ok(device)
}

/// Lets others open the device again, even if somebody still has it, and forgets what it has not
/// sent: closing would wait for that.
pub(super) fn release(device: &OwnedFd) {
    let _ = ioctl_tiocnxcl(device);
    let _ = tcflush(device, QueueSelector::IOFlush);
}

fn check_baud(wanted: u32, actual: u32) -> Result<(), WireError> {
    let off = u64::from(wanted.abs_diff(actual));
    if 100 * off > TOLERANCE_PERCENT * u64::from(wanted) {
        return Err(WireError::Baud { wanted, actual });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_may_be_off_as_far_as_a_byte_still_comes_right() {
        assert_eq!(check_baud(921_600, 923_076), Ok(()));
        assert_eq!(check_baud(4_000_000, 3_920_000), Ok(()));
        let wrong = WireError::Baud { wanted: 4_000_000, actual: 115_200 };
        assert_eq!(check_baud(4_000_000, 115_200), Err(wrong));
        assert!(wrong.to_string().contains("at 115200 baud where 4000000 were"), "{wrong}");
    }
}
