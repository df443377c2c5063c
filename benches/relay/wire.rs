//! Just enough of HTTP/1.1 for a generator and a sink that cost next to nothing.

/// Where a head ends and the body begins.
pub fn head_end(buffer: &[u8]) -> Option<usize> {
    buffer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The value of a header; the name in lower case.
pub fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

pub fn content_length(head: &[u8]) -> Option<usize> {
    std::str::from_utf8(header(head, b"content-length")?).ok()?.parse().ok()
}

/// What every text of the bench carries: its number between two letters, in letters that no encoding changes.
pub fn marked(n: usize) -> String {
    format!("zq{n:010}q")
}

/// The number in a text.
pub fn number(body: &[u8]) -> Option<usize> {
    body.windows(13).find_map(|part| {
        let digits = part.strip_prefix(b"zq")?.strip_suffix(b"q")?;
        digits.iter().try_fold(0_usize, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + usize::from(digit - b'0'))
        })
    })
}
