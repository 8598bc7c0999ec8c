//! The data folder of the embedded engine: made on first use, held by one process at a time.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::Error;

/// A data folder that this process alone holds until it drops this.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if needed (mode 0700) and takes its lock.
    ///
    /// # Errors
    /// When it cannot be made or written, or another process holds it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let problem = |problem: String| Error::Folder { folder: path.display().to_string(), problem };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|error| {
            problem(format!("cannot be made ({error}); give one that this user may write with --data"))
        })?;
        let lock = File::create(path.join("optare.lock"))
            .map_err(|error| problem(format!("cannot be written ({error}); give another one with --data")))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(problem("is in use by another optare; stop that one, or give another folder with --data".into()))
            }
            Err(TryLockError::Error(error)) => Err(problem(format!("cannot be locked ({error})"))),
        }
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
