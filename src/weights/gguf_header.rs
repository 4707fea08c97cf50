//! What candle's reader of GGUF headers does not tell or does not survive: it stops at the first unknown
//! tensor type without naming the tensor, and divides by an alignment of zero. This walks the header
//! on its own, only to find those. Loads nothing.

use std::io::{self, Read, Seek};

/// The first tensor in a type candle does not know.
pub struct UnreadableTensor {
    /// Its name.
    pub name: String,
    /// ggml's name of the type, or its number.
    pub type_name: String,
}

/// Walks the header in `reader`. `None` if every tensor is in a readable type, or if the header
/// itself is damaged (candle's own error tells then).
pub fn first_unreadable(reader: &mut (impl Read + Seek)) -> Option<UnreadableTensor> {
    Header { reader }.first_unreadable().ok().flatten()
}

/// Whether the header in `reader` asks for an alignment of zero. Damaged headers do not.
pub fn alignment_is_zero(reader: &mut (impl Read + Seek)) -> bool {
    Header { reader }.alignment_is_zero().unwrap_or(false)
}

/// Arrays within arrays that are followed; files in use have none.
const DEEPEST: usize = 8;

struct Header<'a, R> {
    reader: &'a mut R,
}

impl<R: Read + Seek> Header<'_, R> {
    fn first_unreadable(&mut self) -> io::Result<Option<UnreadableTensor>> {
        let Counts { tensors, entries } = self.counts()?;
        for _ in 0..entries {
            self.string()?;
            let kind = self.u32()?;
            self.skip_value(kind, 0)?;
        }
        for _ in 0..tensors {
            let name = self.string()?;
            let dimensions = self.u32()?;
            self.skip(u64::from(dimensions) * 8)?;
            let kind = self.u32()?;
            self.skip(8)?; // offset
            if !is_readable(kind) {
                return Ok(Some(UnreadableTensor { name, type_name: type_name(kind) }));
            }
        }
        Ok(None)
    }

    fn alignment_is_zero(&mut self) -> io::Result<bool> {
        let Counts { entries, .. } = self.counts()?;
        let mut zero = false;
        for _ in 0..entries {
            let key = self.string()?;
            let kind = self.u32()?;
            match (key.as_str(), whole_number_bytes(kind)) {
                ("general.alignment", Some(length)) => {
                    let mut bytes = [0; 4];
                    self.reader.read_exact(&mut bytes[..length])?;
                    zero = bytes == [0; 4];
                }
                _ => self.skip_value(kind, 0)?,
            }
        }
        Ok(zero)
    }

    /// Goes to the first entry. Version 1, which counts in 32 bits, is left to candle.
    fn counts(&mut self) -> io::Result<Counts> {
        self.reader.rewind()?;
        self.skip(4)?; // magic
        match self.u32()? {
            2 | 3 => Ok(Counts { tensors: self.u64()?, entries: self.u64()? }),
            other => Err(io::Error::other(format!("version {other}"))),
        }
    }

    fn skip_value(&mut self, kind: u32, depth: usize) -> io::Result<()> {
        match kind {
            0 | 1 | 7 => self.skip(1),
            2 | 3 => self.skip(2),
            4..=6 => self.skip(4),
            10..=12 => self.skip(8),
            8 => self.string().map(drop),
            9 if depth < DEEPEST => {
                let item = self.u32()?;
                let items = self.u64()?;
                (0..items).try_for_each(|_| self.skip_value(item, depth + 1))
            }
            other => Err(io::Error::other(format!("value type {other}"))),
        }
    }

    fn string(&mut self) -> io::Result<String> {
        let length = self.u64()?;
        let mut bytes = Vec::new();
        (&mut *self.reader).take(length).read_to_end(&mut bytes)?;
        match bytes.len() as u64 == length {
            true => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut *self.reader).take(bytes), &mut io::sink())?;
        if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.reader.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.reader.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

struct Counts {
    tensors: u64,
    entries: u64,
}

/// Length of a whole number of up to 32 bits, signed or not: what candle takes an alignment from.
fn whole_number_bytes(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 => Some(1),
        2 | 3 => Some(2),
        4 | 5 => Some(4),
        _ => None,
    }
}

/// The numbers candle-core's `GgmlDType` knows.
fn is_readable(kind: u32) -> bool {
    matches!(kind, 0..=3 | 6..=15 | 30)
}

fn type_name(kind: u32) -> String {
    let name = match kind {
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        40 => "NVFP4",
        other => return format!("number {other}"),
    };
    name.into()
}
