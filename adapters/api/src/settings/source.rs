//! Where secrets come from.

/// Where secrets come from. The daemon's own; tests have theirs.
pub trait SecretSource: Send + Sync {
    /// The value of an environment variable, a file, or a systemd credential.
    ///
    /// # Errors
    /// What is wrong, and whether that is only so here (a credential can be read by the service alone).
    fn read(&self, source: Source<'_>) -> Result<String, Unreadable>;

    /// What to note about a secret that stands in the configuration file itself, if anything.
    fn literal(&self) -> Option<&'static str> {
        None
    }
}

/// Where one secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// An environment variable.
    Env(&'a str),
    /// A file.
    File(&'a str),
    /// A systemd credential.
    Credential(&'a str),
}

/// A secret that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong.
    pub message: String,
    /// Not readable by this process, while the service itself could: a note for `check`, no error.
    pub elsewhere: bool,
}

/// No secret anywhere, for tests of adapters.
pub(super) struct NoSecrets;

impl SecretSource for NoSecrets {
    fn read(&self, _: Source<'_>) -> Result<String, Unreadable> {
        Err(Unreadable { message: "no secrets here".to_owned(), elsewhere: false })
    }
}
