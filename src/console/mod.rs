//! The page of simulated phones and of somebody in the browser: static files inside the binary, no build step.
//!
//! Knows nothing of who serves it; the page itself knows the simulator's JSON API, and of the daemon what the official SDK
//! speaks. The SDK is in `sdk/built/`, made there from npm by `sdk/build.mjs` and kept in the repository, so that neither a
//! build nor a demo needs npm; a suite of `tests/run` makes it anew and compares.

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its content type.
    pub content_type: &'static str,
    /// Its text.
    pub body: &'static str,
}

const fn script(body: &'static str) -> File {
    File { content_type: "text/javascript; charset=utf-8", body }
}

const PAGE: File = File { content_type: "text/html; charset=utf-8", body: include_str!("page.html") };
const STYLE: File = File { content_type: "text/css; charset=utf-8", body: include_str!("page.css") };
const SCRIPT: File = script(include_str!("page.js"));
const CARD: File = script(include_str!("card.js"));
const BROWSER: File = script(include_str!("browser.js"));
/// Other people's: minified, with their licences beside it.
const SDK: File = script(include_str!("sdk/built/sdk.js"));
const LICENSES: File =
    File { content_type: "text/plain; charset=utf-8", body: include_str!("sdk/built/licenses.txt") };

/// The file at a path.
pub fn file(path: &str) -> Option<File> {
    match path {
        "/" => Some(PAGE),
        "/page.css" => Some(STYLE),
        "/page.js" => Some(SCRIPT),
        "/card.js" => Some(CARD),
        "/browser.js" => Some(BROWSER),
        "/sdk.js" => Some(SDK),
        "/licenses.txt" => Some(LICENSES),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page's policy forbids both, so either would silently do nothing.
    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        assert!(!PAGE.body.contains("<style") && !PAGE.body.contains(" style="));
        assert!(!PAGE.body.contains("<script>") && !PAGE.body.contains(" onclick="));
        for file in [PAGE, STYLE, SCRIPT, CARD, BROWSER] {
            for elsewhere in ["https://", "url(//", "src=\"//", "@import", "innerHTML"] {
                assert!(!file.body.contains(elsewhere), "{elsewhere}");
            }
        }
    }
}
