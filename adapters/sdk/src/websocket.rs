//! The WebSocket protocol (RFC 6455), the server's side of it, behind the handshake.
//!
//! Our own because of what an idle socket costs. Libraries keep a buffer for each connection, 8 KiB and more, and keep what
//! a large message made of it; here a socket on which nothing is coming or leaving holds no buffer at all. The tests speak to
//! it through a library.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at a time.
const READ: usize = 8 * 1024;
/// Bytes that may wait to leave; with more, nothing is read that would have to be answered.
const MOST_LEAVING: usize = 64 * 1024;
/// Frames handed to the kernel at once.
const AT_ONCE: usize = 16;
/// Places for frames that an idle socket may keep.
const KEPT: usize = 4;
/// The longest payload of a frame that is about the connection itself.
const CONTROL: usize = 125;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Why a socket is to be closed, as the protocol counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Code {
    Normal = 1000,
    GoingAway = 1001,
    Protocol = 1002,
    TooBig = 1009,
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A whole message, in however many frames it came.
    Message(Bytes),
    /// A ping, whose answer waits to leave, or the answer to one of ours.
    Sign,
    /// The other side says goodbye; our answer waits to leave, unless it is one itself.
    Goodbye,
}

#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection ended or failed.
    Lost(io::Error),
    /// What came is against the protocol, or too long; the socket is to be closed so.
    Closed(Code),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Lost(error)
    }
}

pub(crate) struct WebSocket<S> {
    stream: S,
    /// The longest message.
    longest: usize,
    /// What came and is no whole frame yet. Without memory of its own while that is nothing.
    coming: BytesMut,
    /// A message whose last frame has not come.
    pieces: Option<BytesMut>,
    leaving: VecDeque<Leaving>,
    /// Bytes of it that have not left.
    left: usize,
    /// Bytes of the first frame of it that have.
    gone: usize,
    /// Our goodbye is said, or waits to leave.
    goodbye: bool,
}

/// A frame of ours.
struct Leaving {
    head: [u8; 10],
    size: usize,
    payload: Bytes,
}

impl Leaving {
    fn new(opcode: u8, payload: Bytes) -> Leaving {
        let mut head = [0; 10];
        head[0] = 0x80 | opcode;
        let length = payload.len() as u64;
        let size = match length {
            0..=125 => 2,
            126..=0xFFFF => 4,
            _ => 10,
        };
        let bytes = length.to_be_bytes();
        match size {
            2 => head[1] = bytes[7],
            4 => {
                head[1] = 126;
                head[2..4].copy_from_slice(&bytes[6..]);
            }
            _ => {
                head[1] = 127;
                head[2..].copy_from_slice(&bytes);
            }
        }
        Leaving { head, size, payload }
    }

    fn len(&self) -> usize {
        self.size + self.payload.len()
    }
}

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    last: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Bytes of the beginning itself.
    size: usize,
    payload: usize,
}

impl Head {
    /// Reads it; `None` when more has to come.
    fn read(bytes: &[u8]) -> Result<Option<Head>, Code> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else { return Ok(None) };
        let (last, opcode) = (first & 0x80 != 0, first & 0x0F);
        // No extension was agreed on, and clients mask what they send.
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(Code::Protocol);
        }
        let (payload, rest) = match second & 0x7F {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            short => (u64::from(short), rest),
        };
        let allowed = match opcode {
            CONTINUATION | TEXT | BINARY => true,
            CLOSE | PING | PONG => last && payload <= CONTROL as u64,
            _ => false,
        };
        if !allowed {
            return Err(Code::Protocol);
        }
        let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let size = bytes.len() - rest.len();
        let payload = usize::try_from(payload).map_err(|_| Code::TooBig)?;
        Ok(Some(Head { last, opcode, mask: *mask, size, payload }))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Takes over a connection whose handshake is done.
    pub(crate) fn new(stream: S, longest: usize) -> WebSocket<S> {
        WebSocket {
            stream,
            longest,
            coming: BytesMut::new(),
            pieces: None,
            leaving: VecDeque::new(),
            left: 0,
            gone: 0,
            goodbye: false,
        }
    }

    /// What comes next. Answers to pings and goodbyes leave with the next flush.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Incoming, Broken>> {
        loop {
            if let Some(incoming) = self.take().map_err(Broken::Closed)? {
                return Poll::Ready(Ok(incoming));
            }
            if self.left > MOST_LEAVING {
                ready!(self.poll_flush(context))?;
            }
            let mut room = [MaybeUninit::uninit(); READ];
            let mut read = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
            }
            self.coming.extend_from_slice(read.filled());
        }
    }

    /// Takes what is whole of what has come; `None` when more has to come.
    fn take(&mut self) -> Result<Option<Incoming>, Code> {
        while let Some(head) = Head::read(&self.coming)? {
            let begun = self.pieces.as_ref().map_or(0, BytesMut::len);
            let control = head.opcode >= CLOSE;
            if !control && (head.opcode == CONTINUATION) != self.pieces.is_some() {
                return Err(Code::Protocol);
            }
            if head.payload > self.longest || (!control && begun + head.payload > self.longest) {
                return Err(Code::TooBig);
            }
            let whole = head.size + head.payload;
            if self.coming.len() < whole {
                self.coming.reserve(whole - self.coming.len());
                break;
            }
            let mut payload = self.coming.split_to(whole).split_off(head.size);
            if self.coming.is_empty() {
                self.coming = BytesMut::new();
            }
            for part in payload.chunks_mut(head.mask.len()) {
                part.iter_mut().zip(head.mask).for_each(|(byte, mask)| *byte ^= mask);
            }
            if let Some(incoming) = self.judge(head, payload)? {
                return Ok(Some(incoming));
            }
        }
        Ok(None)
    }

    fn judge(&mut self, head: Head, mut payload: BytesMut) -> Result<Option<Incoming>, Code> {
        match head.opcode {
            PING => {
                self.frame(PONG, payload.freeze());
                Ok(Some(Incoming::Sign))
            }
            PONG => Ok(Some(Incoming::Sign)),
            CLOSE => {
                if payload.len() == 1 {
                    return Err(Code::Protocol);
                }
                // The answer says the same code.
                if !self.goodbye {
                    payload.truncate(2);
                    self.goodbye = true;
                    self.frame(CLOSE, payload.freeze());
                }
                Ok(Some(Incoming::Goodbye))
            }
            _ => {
                let message = match self.pieces.take() {
                    None => payload,
                    Some(mut pieces) => {
                        pieces.extend_from_slice(&payload);
                        pieces
                    }
                };
                if head.last {
                    return Ok(Some(Incoming::Message(message.freeze())));
                }
                self.pieces = Some(message);
                Ok(None)
            }
        }
    }

    /// Bytes that wait to leave.
    pub(crate) fn waiting(&self) -> usize {
        self.left
    }

    /// Has a message leave with the next flush.
    pub(crate) fn write(&mut self, message: Bytes) {
        self.frame(BINARY, message);
    }

    pub(crate) fn ping(&mut self) {
        self.frame(PING, Bytes::new());
    }

    /// Has a goodbye leave, once.
    pub(crate) fn close(&mut self, code: Code) {
        if !self.goodbye {
            self.goodbye = true;
            self.frame(CLOSE, Bytes::copy_from_slice(&(code as u16).to_be_bytes()));
        }
    }

    fn frame(&mut self, opcode: u8, payload: Bytes) {
        let frame = Leaving::new(opcode, payload);
        self.left += frame.len();
        self.leaving.push_back(frame);
    }

    /// Hands everything that waits to the connection.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.left > 0 {
            let mut slices = [IoSlice::new(&[]); 2 * AT_ONCE];
            let (mut count, mut skip) = (0, self.gone);
            for frame in self.leaving.iter().take(AT_ONCE) {
                for part in [&frame.head[..frame.size], &frame.payload[..]] {
                    let skipped = skip.min(part.len());
                    skip -= skipped;
                    if skipped < part.len() {
                        slices[count] = IoSlice::new(&part[skipped..]);
                        count += 1;
                    }
                }
            }
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write_vectored(context, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.left -= written;
            self.gone += written;
            while let Some(first) = self.leaving.front().map(Leaving::len).filter(|len| *len <= self.gone) {
                self.gone -= first;
                self.leaving.pop_front();
            }
        }
        if self.leaving.capacity() > KEPT {
            self.leaving = VecDeque::new();
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }
}

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
