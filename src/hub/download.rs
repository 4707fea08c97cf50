//! One file, from the network into its `.incomplete` file: resumed where possible, never trusted.
//!
//! Goes out: a file of the right length. Not here: whether its content is right, and where it goes then.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use ureq::http::Uri;

use super::event::FetchEvent;
use super::http::{Answer, Client, Subject, text};
use super::patience::Patience;
use super::snapshot::RemoteFile;
use super::{HubError, Limits};
use crate::clock::Clock;

/// What a transfer needs to know.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client,
    pub(super) limits: &'a Limits,
    pub(super) clock: &'a dyn Clock,
    pub(super) address: Uri,
    pub(super) subject: Subject<'a>,
    pub(super) file: &'a RemoteFile,
    /// The `.incomplete` file. What it holds from an earlier run is gone on with.
    pub(super) partial: &'a Path,
}

/// How one try ended, if not with the whole file.
enum Setback {
    /// The server does not resume as asked: begin again, without asking for a part.
    NoResume,
    /// The file on disk cannot be gone on with.
    Failed(HubError),
}

impl From<HubError> for Setback {
    fn from(error: HubError) -> Self {
        Self::Failed(error)
    }
}

/// What was in the `.incomplete` file before this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// Go on with what is there.
    WhereItStopped,
    /// Throw it away: it led to a wrong file.
    Anew,
}

impl Download<'_> {
    /// Brings the file to its full length. Says whether it was put together from more than one transfer.
    pub(super) fn run(
        &self,
        begin: Begin,
        on_event: &mut dyn FnMut(FetchEvent<'_>),
    ) -> Result<Pieces, HubError> {
        let mut out = self.open()?;
        let mut have = self.usable(&mut out, begin)?;
        let (mut furthest, mut may_resume, mut pieces) = (have, true, Pieces::after(have));
        let mut patience = Patience::new(self.limits, self.clock);
        while have < self.file.bytes {
            let from = if may_resume { have } else { 0 };
            on_event(FetchEvent::Started { name: &self.file.name, from, bytes: self.file.bytes });
            let tried = self.attempt(&mut out, from, &mut furthest, &mut patience, on_event);
            have = length_of(&out).map_err(|e| HubError::file("read", self.partial, e))?;
            match tried {
                Ok(()) => break,
                Err(Setback::NoResume) => may_resume = false,
                Err(Setback::Failed(error)) => {
                    let name = &self.file.name;
                    patience.wait_after(error, &mut |error: &HubError, wait: Duration| {
                        on_event(FetchEvent::Retrying { name, error, wait });
                    })?;
                }
            }
            pieces = Pieces::after(if may_resume { have } else { 0 });
        }
        out.sync_data().map_err(|e| HubError::file("write", self.partial, e))?;
        Ok(pieces)
    }

    fn open(&self) -> Result<File, HubError> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        options.open(self.partial).map_err(|e| HubError::file("open", self.partial, e))
    }

    /// Bytes on disk that can be gone on with; anything else is cut off.
    fn usable(&self, out: &mut File, begin: Begin) -> Result<u64, HubError> {
        let have = length_of(out).map_err(|e| HubError::file("read", self.partial, e))?;
        if begin == Begin::WhereItStopped && have <= self.file.bytes {
            return Ok(have);
        }
        self.cut(out, 0)?;
        Ok(0)
    }

    /// One request, from byte `from` on. `furthest` is the most that any try of this run has had.
    fn attempt(
        &self,
        out: &mut File,
        from: u64,
        furthest: &mut u64,
        patience: &mut Patience<'_>,
        on_event: &mut dyn FnMut(FetchEvent<'_>),
    ) -> Result<(), Setback> {
        let mut answer = match self.client.get(&self.address, from, self.subject, patience) {
            Err(HubError::UnexpectedStatus { status: 416, .. }) if from > 0 => return Err(Setback::NoResume),
            answer => answer?,
        };
        let mut at = self.first_byte(&answer, from)?;
        self.cut(out, at)?;
        let mut buffer = vec![0; 1 << 17];
        while let Some(read) =
            self.read(&mut answer, &mut buffer, at).or_else(|error| self.forget(out, error))?
        {
            out.write_all(&buffer[..read]).map_err(|e| HubError::file("write", self.partial, e))?;
            at += read as u64;
            if at > *furthest {
                *furthest = at;
                patience.progressed();
            } else if patience.left().is_zero() {
                return Err(self.truncated(&answer, at).into());
            }
            on_event(FetchEvent::Received { name: &self.file.name, so_far: at, bytes: self.file.bytes });
        }
        match at == self.file.bytes {
            true => Ok(()),
            false => Err(self.truncated(&answer, at).into()),
        }
    }

    /// Where in the file the body begins, after a look at all that was announced of it.
    fn first_byte(&self, answer: &Answer, from: u64) -> Result<u64, Setback> {
        let begin = match (answer.status, from) {
            (200, _) => 0,
            (206, 1..) => match content_range(answer) {
                Some((first, total)) if first == from && total.is_none_or(|t| t == self.file.bytes) => first,
                _ => return Err(Setback::NoResume),
            },
            (status, _) => {
                let (host, detail) = (answer.host.clone(), String::new());
                return Err(HubError::UnexpectedStatus { host, status, detail }.into());
            }
        };
        let announced = text(&answer.headers, "content-length").and_then(|length| length.parse::<u64>().ok());
        match announced {
            Some(length) if begin.checked_add(length) != Some(self.file.bytes) => {
                Err(self.wrong_length(answer, begin.saturating_add(length)).into())
            }
            _ => Ok(begin),
        }
    }

    /// Reads on; `None` at the end. One byte more than the file has is an error.
    fn read(&self, answer: &mut Answer, buffer: &mut [u8], at: u64) -> Result<Option<usize>, HubError> {
        match answer.body.read(buffer) {
            Ok(0) => Ok(None),
            Ok(read) if at + read as u64 > self.file.bytes => {
                Err(self.wrong_length(answer, at + read as u64))
            }
            Ok(read) => Ok(Some(read)),
            Err(error) => Err(answer.body_failure(error).unwrap_or_else(|| self.truncated(answer, at))),
        }
    }

    /// What came of a body that is too long is not part of this file.
    fn forget<T>(&self, out: &mut File, error: HubError) -> Result<T, HubError> {
        if matches!(error, HubError::WrongLength { .. }) {
            self.cut(out, 0)?;
        }
        Err(error)
    }

    fn cut(&self, out: &mut File, length: u64) -> Result<(), HubError> {
        let cut = length_of(out).and_then(|now| if now == length { Ok(()) } else { out.set_len(length) });
        let cut = cut.and_then(|()| out.seek(SeekFrom::Start(length)));
        cut.map(|_| ()).map_err(|e| HubError::file("write", self.partial, e))
    }

    fn truncated(&self, answer: &Answer, got: u64) -> HubError {
        let (name, host) = (self.file.name.clone(), answer.host.clone());
        HubError::Truncated { name, host, got, expected: self.file.bytes }
    }

    fn wrong_length(&self, answer: &Answer, got: u64) -> HubError {
        let (name, host) = (self.file.name.clone(), answer.host.clone());
        HubError::WrongLength { name, host, got, expected: self.file.bytes }
    }
}

/// Whether a file came in one transfer. If not, a wrong result may be the fault of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pieces {
    /// All of it in one transfer of this run.
    One,
    /// Parts of it are older.
    Several,
}

impl Pieces {
    fn after(have: u64) -> Self {
        if have == 0 { Self::One } else { Self::Several }
    }
}

fn length_of(file: &File) -> std::io::Result<u64> {
    Ok(file.metadata()?.len())
}

/// First byte and total length from `Content-Range: bytes 5-9/10`; the total may be `*`.
fn content_range(answer: &Answer) -> Option<(u64, Option<u64>)> {
    let (range, total) = text(&answer.headers, "content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-')?.0.trim().parse().ok()?;
    match total.trim() {
        "*" => Some((first, None)),
        total => Some((first, Some(total.parse().ok()?))),
    }
}
