//! The models ctxbench knows, as data.

pub mod entry;
pub mod reference;

use entry::Entry;

/// All entries, shipped ones and the user's.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// In the order of the files.
    pub entries: Vec<Entry>,
}

impl Catalog {
    /// The entry of that id, in any case.
    pub fn find(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id.eq_ignore_ascii_case(id))
    }
}
