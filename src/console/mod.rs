//! The page of simulated phones: three static files inside the binary, no build step.
//!
//! Knows nothing of who serves it; the page itself knows the simulator's JSON API and nothing else of the daemon.

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its content type.
    pub content_type: &'static str,
    /// Its text.
    pub body: &'static str,
}

const PAGE: File = File { content_type: "text/html; charset=utf-8", body: include_str!("page.html") };
const STYLE: File = File { content_type: "text/css; charset=utf-8", body: include_str!("page.css") };
const SCRIPT: File = File { content_type: "text/javascript; charset=utf-8", body: include_str!("page.js") };

/// The file at a path.
pub fn file(path: &str) -> Option<File> {
    match path {
        "/" => Some(PAGE),
        "/page.css" => Some(STYLE),
        "/page.js" => Some(SCRIPT),
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
        for file in [PAGE, STYLE, SCRIPT] {
            for elsewhere in ["https://", "url(//", "src=\"//", "@import", "innerHTML"] {
                assert!(!file.body.contains(elsewhere), "{elsewhere}");
            }
        }
    }
}
