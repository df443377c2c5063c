//! Where secrets come from on a real machine.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use trunkline_adapter::settings::{SecretSource, Source, Unreadable};

/// The longest secret.
const MOST: u64 = 64 << 10;

/// The environment, files, and the credentials that systemd passes to a service.
#[derive(Clone, Debug)]
pub struct SystemSecrets {
    credentials: Option<PathBuf>,
    checking: bool,
}

impl SystemSecrets {
    /// For the service itself: every secret must be there.
    pub fn serving() -> SystemSecrets {
        SystemSecrets { credentials: directory(), checking: false }
    }

    /// For `check`: a credential that only the service can read is worth a note, no more.
    pub fn checking() -> SystemSecrets {
        SystemSecrets { credentials: directory(), checking: true }
    }

    fn credential(&self, name: &str) -> Result<String, Unreadable> {
        let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !plain || name.contains('/') {
            return Err(wrong(format!("{name:?} is not the name of a credential")));
        }
        match &self.credentials {
            Some(directory) => file(&directory.join(name)).map_err(|error| {
                wrong(format!(
                    "the credential {name} {error}; one added to the unit is there after a restart"
                ))
            }),
            None if self.checking => Err(Unreadable {
                message: format!(
                    "the credential {name} can be read by the service alone, so it was not checked"
                ),
                elsewhere: true,
            }),
            None => Err(wrong(format!(
                "the credential {name} is not there: CREDENTIALS_DIRECTORY is not set, is LoadCredential= in the unit?"
            ))),
        }
    }
}

impl SecretSource for SystemSecrets {
    #[expect(clippy::disallowed_methods, reason = "secrets may stand in the environment")]
    fn read(&self, source: Source<'_>) -> Result<String, Unreadable> {
        match source {
            Source::Env(name) if name.is_empty() || name.contains(['=', '\0']) => {
                Err(wrong(format!("{name:?} is not the name of an environment variable")))
            }
            Source::Env(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => {
                    wrong(format!("the environment variable {name} is not set"))
                }
                std::env::VarError::NotUnicode(_) => {
                    wrong(format!("the environment variable {name} is not UTF-8"))
                }
            }),
            Source::File(path) => {
                file(Path::new(path)).map_err(|error| wrong(format!("the file {path} {error}")))
            }
            Source::Credential(name) => self.credential(name),
        }
    }

    fn literal(&self) -> Option<&'static str> {
        Some("the secret stands in the file itself; { file = \"PATH\" } keeps it apart")
    }
}

#[expect(clippy::disallowed_methods, reason = "systemd tells there where its credentials are")]
fn directory() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn wrong(message: String) -> Unreadable {
    Unreadable { message, elsewhere: false }
}

/// The text of a file without the line end that editors and `echo` leave behind.
fn file(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    // Opening a pipe would wait for its writer, and a device may never end.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).map_err(cannot)?;
    opened.take(MOST + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MOST {
        return Err(format!("is longer than {MOST} bytes"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn secrets(credentials: Option<&Path>, checking: bool) -> SystemSecrets {
        SystemSecrets { credentials: credentials.map(Path::to_owned), checking }
    }

    fn refused(source: Source<'_>, credentials: Option<&Path>, checking: bool) -> (String, bool) {
        let unreadable = secrets(credentials, checking).read(source).unwrap_err();
        (unreadable.message, unreadable.elsewhere)
    }

    #[test]
    fn files_lose_one_line_end_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        for (written, read) in
            [("abc\n", "abc"), ("abc\r\n", "abc"), ("abc", "abc"), ("a\n\n", "a\n"), ("", "")]
        {
            std::fs::write(&path, written).unwrap();
            assert_eq!(secrets(None, false).read(Source::File(path.to_str().unwrap())).unwrap(), read);
        }
    }

    #[test]
    fn unreadable_files_say_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let name = path.to_str().unwrap();
        assert!(refused(Source::File(name), None, false).0.contains("No such file"));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(refused(Source::File(name), None, false).0.contains("is not UTF-8"));
        std::fs::write(&path, "x".repeat(70_000)).unwrap();
        assert!(refused(Source::File(name), None, false).0.contains("is longer than 65536 bytes"));
        assert!(refused(Source::File("/dev/zero"), None, false).0.contains("is not a regular file"));
    }

    #[test]
    fn credentials_are_the_services_own() {
        let (message, elsewhere) = refused(Source::Credential("token"), None, true);
        assert!(elsewhere && message.contains("service alone"), "{message}");
        let (message, elsewhere) = refused(Source::Credential("token"), None, false);
        assert!(!elsewhere && message.contains("LoadCredential"), "{message}");

        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "t\n").unwrap();
        let there = secrets(Some(directory.path()), true);
        assert_eq!(there.read(Source::Credential("token")).unwrap(), "t");
        for name in ["../token", "/etc/passwd", "", "other", "."] {
            assert!(!refused(Source::Credential(name), Some(directory.path()), true).1, "{name}");
        }
    }
}
