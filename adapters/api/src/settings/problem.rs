//! What is wrong in a configuration.

/// Something wrong in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Byte offset in the file.
    pub at: usize,
    /// The key's path, such as `adapter.us.settings.auth_token`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The key nobody asked for, when that is the problem: the reader of the whole file knows where it belongs.
    pub unknown: Option<String>,
    /// Worth knowing, but no reason to refuse.
    pub note: bool,
}
