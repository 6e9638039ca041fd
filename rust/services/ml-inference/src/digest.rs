//! SHA-256 of files, remembered while a file is the same.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::digest::{Context, SHA256};

/// A file that changed less than this before its sum was computed could change again within the same tick of its file system's
/// clock, and nobody would know. The coarsest, FAT's, ticks every two seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// The sums of files that were read, each for as long as its file is the same.
#[derive(Debug, Default)]
pub struct Sums {
    known: Mutex<HashMap<PathBuf, (Version, String)>>,
}

/// Which file it is, and what changes whenever its content does. The time of its last change (ctime), unlike that of its content
/// (mtime), is set by nobody but the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Sums {
    /// SHA-256 of a file's bytes: 64 lower-case hex digits. A file that has not changed since its sum was computed is not read again.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sha256(&self, path: &Path, now: SystemTime) -> io::Result<String> {
        self.sum(path, now, sha256)
    }

    fn sum(
        &self,
        path: &Path,
        now: SystemTime,
        read: impl FnOnce(&mut File) -> io::Result<String>,
    ) -> io::Result<String> {
        let mut file = File::open(path)?;
        let version = Version::of(&file.metadata()?);
        if let Some((known, sum)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path)
            && *known == version
        {
            return Ok(sum.clone());
        }
        let sum = read(&mut file)?;
        if version.is_settled(now) && Version::of(&file.metadata()?) == version {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(path.to_owned(), (version, sum.clone()));
        }
        Ok(sum)
    }
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let since = |(seconds, nanos): (i64, i64)| {
            let time = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?);
            now.duration_since(UNIX_EPOCH).ok()?.checked_sub(time)
        };
        since(self.changed).is_some_and(|age| age >= SETTLED)
    }
}

fn sha256(file: &mut File) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => context.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    Ok(hex(context.finish().as_ref()))
}

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, content).unwrap();
        (dir, file)
    }

    fn later() -> SystemTime {
        SystemTime::now() + 2 * SETTLED
    }

    /// Asks for a sum, and tells whether the file was read for it.
    fn ask(sums: &Sums, file: &Path, now: SystemTime) -> (String, bool) {
        let mut was_read = false;
        let sum = sums.sum(file, now, |file| {
            was_read = true;
            sha256(file)
        });
        (sum.unwrap(), was_read)
    }

    #[test]
    fn sha256_of_a_file_is_that_of_fips_180() {
        let (_dir, file) = file("abc");
        assert_eq!(Sums::default().sha256(&file, later()).unwrap(), ABC);
    }

    #[test]
    fn sum_of_a_file_that_is_the_same_is_remembered() {
        let ((_dir, file), sums) = (file("abc"), Sums::default());
        assert_eq!(ask(&sums, &file, later()), (ABC.to_owned(), true));
        assert_eq!(ask(&sums, &file, later()), (ABC.to_owned(), false));
    }

    #[test]
    fn sum_of_a_file_that_changed_is_computed_anew_even_where_its_size_and_time_are_the_same() {
        let ((_dir, file), sums) = (file("abc"), Sums::default());
        let before = std::fs::metadata(&file).unwrap();
        assert!(ask(&sums, &file, later()).1);
        // The kernel's clock ticks a hundred times a second or more: once its time is another, a change is seen.
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        while std::fs::metadata(&file).unwrap().ctime_nsec() == before.ctime_nsec() {
            assert!(std::time::Instant::now() < deadline, "the file system's clock stands");
            std::fs::write(&file, "abd").unwrap();
            File::options().write(true).open(&file).unwrap().set_modified(before.modified().unwrap()).unwrap();
        }
        let after = std::fs::metadata(&file).unwrap();
        assert_eq!((after.len(), after.modified().unwrap()), (before.len(), before.modified().unwrap()));
        let (sum, was_read) = ask(&sums, &file, later());
        assert!(was_read && sum != ABC);
    }

    #[test]
    fn sum_of_another_file_in_its_place_is_computed_anew() {
        let ((dir, file), sums) = (file("abc"), Sums::default());
        assert!(ask(&sums, &file, later()).1);
        std::fs::write(dir.path().join("other"), "abd").unwrap();
        std::fs::rename(dir.path().join("other"), &file).unwrap();
        let (sum, was_read) = ask(&sums, &file, later());
        assert!(was_read && sum != ABC);
    }

    #[test]
    fn sum_of_a_file_that_has_just_changed_is_not_remembered() {
        let ((_dir, file), sums) = (file("abc"), Sums::default());
        let changed = std::fs::metadata(&file).unwrap();
        let changed =
            UNIX_EPOCH + Duration::new(changed.ctime().try_into().unwrap(), changed.ctime_nsec().try_into().unwrap());
        let just = changed + SETTLED - Duration::from_millis(1);
        assert!(ask(&sums, &file, just).1);
        assert!(ask(&sums, &file, changed - Duration::from_mins(1)).1, "nor where its clock is ahead");
        assert!(ask(&sums, &file, changed + SETTLED).1);
        assert!(!ask(&sums, &file, just).1);
    }
}
