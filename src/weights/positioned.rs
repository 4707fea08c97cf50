//! Reads at a place in a file, from several threads at a time.

use std::fs::File;
use std::io;

/// Fills `out` with the bytes from `at` on. Errors if the file ends before.
#[cfg(unix)]
pub fn read(file: &File, out: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

/// Fills `out` with the bytes from `at` on. Errors if the file ends before.
#[cfg(windows)]
pub fn read(file: &File, mut out: &mut [u8], mut at: u64) -> io::Result<()> {
    while !out.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, out, at)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (out, at) = (&mut out[count..], at + count as u64);
    }
    Ok(())
}
