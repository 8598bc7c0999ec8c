//! Where tests find what was built and keep what is temporary.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use tempfile::TempDir;

/// The root of the repository.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the member `tests` lies in the workspace")
}

/// Where Cargo put the binaries that belong to this test, e.g. `target/debug`.
pub(crate) fn binaries() -> &'static Path {
    static BINARIES: LazyLock<PathBuf> = LazyLock::new(|| {
        let test = std::env::current_exe().expect("a running test has a path");
        // A test lies in `target/debug/deps`.
        test.ancestors().nth(2).expect("a test lies two folders deep").to_owned()
    });
    &BINARIES
}

/// `tmp` in Cargo's target folder.
pub(crate) fn temporary() -> &'static Path {
    static TEMPORARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = binaries().parent().expect("target/debug lies in target").join("tmp");
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
        folder
    });
    &TEMPORARY
}

/// An empty folder that goes with its owner. `tests/run` sweeps what a killed test left.
pub fn temporary_folder(name: &str) -> TempDir {
    temporary_folder_in(temporary(), name)
}

pub(crate) fn temporary_folder_in(parent: &Path, name: &str) -> TempDir {
    tempfile::Builder::new()
        .prefix(&format!("optare-{name}-"))
        .tempdir_in(parent)
        .unwrap_or_else(|error| panic!("cannot make a folder in {}: {error}", parent.display()))
}
