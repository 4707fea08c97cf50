//! A folder with all that is in it, once more.

use std::fs;
use std::path::Path;

/// Copies files and folders of `from` into `to`, which is made if it is not there.
pub fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let copy = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_all(&entry.path(), &copy),
            false => drop(fs::copy(entry.path(), copy).expect("there is room for a copy")),
        }
    }
}
