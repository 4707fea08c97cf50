//! Why a GGUF header cannot be read: candle stops at the first unknown tensor type without
//! naming the tensor, so this walks the header again, only to find it. Loads nothing.

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

struct Header<'a, R> {
    reader: &'a mut R,
}

impl<R: Read + Seek> Header<'_, R> {
    fn first_unreadable(&mut self) -> io::Result<Option<UnreadableTensor>> {
        self.reader.rewind()?;
        self.skip(8)?; // magic, version
        let tensors = self.u64()?;
        let entries = self.u64()?;
        for _ in 0..entries {
            self.string()?;
            let kind = self.u32()?;
            self.skip_value(kind)?;
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

    fn skip_value(&mut self, kind: u32) -> io::Result<()> {
        match kind {
            0 | 1 | 7 => self.skip(1),
            2 | 3 => self.skip(2),
            4..=6 => self.skip(4),
            10..=12 => self.skip(8),
            8 => self.string().map(drop),
            9 => {
                let item = self.u32()?;
                let items = self.u64()?;
                (0..items).try_for_each(|_| self.skip_value(item))
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
