#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::poll_fn;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_websockets::{ClientBuilder, CloseCode, Config, Message};

use super::*;

const LONGEST: usize = 100_000;

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    async fn next(&mut self) -> Result<Incoming, Broken> {
        poll_fn(|context| self.poll_read(context)).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_flush(context)).await
    }
}

/// A frame as a client writes it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | u8::try_from(short).unwrap()),
        middle @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    let mask = [7, 77, 0, 255];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// What somebody who sends these bytes and then ends is heard to say.
async fn heard(bytes: &[u8], piece: usize) -> (Vec<Incoming>, Broken, WebSocket<DuplexStream>) {
    let (ours, mut theirs) = duplex(1 << 20);
    let mut socket = WebSocket::new(ours, LONGEST);
    let mut all = Vec::new();
    for part in bytes.chunks(piece.max(1)) {
        theirs.write_all(part).await.unwrap();
        while let Some(incoming) = tokio::select! {
            biased;
            incoming = socket.next() => Some(incoming),
            () = std::future::ready(()) => None,
        } {
            match incoming {
                Ok(incoming) => all.push(incoming),
                Err(broken) => return (all, broken, socket),
            }
        }
    }
    drop(theirs);
    let broken = socket.next().await.expect_err("the connection is over");
    (all, broken, socket)
}

async fn refused(bytes: &[u8]) -> Code {
    match heard(bytes, usize::MAX).await {
        (_, Broken::Closed(code), _) => code,
        (all, Broken::Lost(error), _) => panic!("taken: {all:?}, {error}"),
    }
}

#[tokio::test]
async fn what_is_against_the_protocol_closes_the_socket() {
    for (bytes, code) in [
        // Not masked.
        (vec![0x82, 0x00], Code::Protocol),
        // Bits of an extension, and opcodes that nobody has given a meaning.
        (frame(0xC2, b""), Code::Protocol),
        (frame(0x83, b""), Code::Protocol),
        (frame(0x8B, b""), Code::Protocol),
        // A ping in two frames, and one that is too long.
        (frame(0x09, b""), Code::Protocol),
        (frame(0x89, &[0; 126]), Code::Protocol),
        // A goodbye of half a code.
        (frame(0x88, b"x"), Code::Protocol),
        // The rest of nothing, and a message within another one.
        (frame(0x80, b"x"), Code::Protocol),
        ([frame(0x02, b"x"), frame(0x82, b"y")].concat(), Code::Protocol),
        // Too long, in one frame and in two, or as long as nothing can be.
        (frame(0x82, &[0; LONGEST + 1]), Code::TooBig),
        ([frame(0x02, &[0; LONGEST]), frame(0x80, b"x")].concat(), Code::TooBig),
        ([&[0x82, 0xFF][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat(), Code::TooBig),
    ] {
        assert_eq!(refused(&bytes).await, code, "{:?}", &bytes[..bytes.len().min(12)]);
    }
}

#[tokio::test]
async fn a_message_comes_in_pieces_with_pings_between() {
    let all = [
        frame(0x01, b"a"),
        frame(0x89, b"there?"),
        frame(0x00, b"b"),
        frame(0x80, b"c"),
        frame(0x82, b""),
        frame(0x8A, b""),
        frame(0x88, &[3, 232, b'x']),
    ];
    for piece in [1, 2, 3, 7, usize::MAX] {
        let (heard, broken, mut socket) = heard(&all.concat(), piece).await;
        let message = |text: &'static [u8]| Incoming::Message(Bytes::from_static(text));
        assert_eq!(
            heard,
            [Incoming::Sign, message(b"abc"), message(b""), Incoming::Sign, Incoming::Goodbye],
            "{piece}"
        );
        assert!(matches!(broken, Broken::Lost(_)));
        assert!(socket.flush().await.is_err(), "nobody takes the answers any more");
    }
}

#[tokio::test]
async fn pings_and_goodbyes_are_answered() {
    let (ours, mut theirs) = duplex(1 << 20);
    let mut socket = WebSocket::new(ours, LONGEST);
    theirs.write_all(&[frame(0x89, b"hi"), frame(0x88, &[3, 233, b'x'])].concat()).await.unwrap();
    assert_eq!(socket.next().await.unwrap(), Incoming::Sign);
    assert_eq!(socket.next().await.unwrap(), Incoming::Goodbye);
    // It was said already.
    socket.close(Code::Normal);
    socket.flush().await.unwrap();
    drop(socket);
    let mut answers = Vec::new();
    theirs.read_to_end(&mut answers).await.unwrap();
    assert_eq!(answers, [0x8A, 2, b'h', b'i', 0x88, 2, 3, 233]);
}

#[tokio::test]
async fn an_idle_socket_keeps_nothing() {
    let (ours, mut theirs) = duplex(1 << 20);
    let mut socket = WebSocket::new(ours, LONGEST);
    theirs.write_all(&frame(0x82, &[1; 90_000])).await.unwrap();
    let Incoming::Message(message) = socket.next().await.unwrap() else { panic!("a message") };
    assert_eq!(message.len(), 90_000);
    for _ in 0..100 {
        socket.write(message.clone());
    }
    let reading =
        tokio::spawn(async move { theirs.read_exact(&mut vec![0; 9_001_000]).await.map(|_| theirs) });
    socket.flush().await.unwrap();
    let _theirs = reading.await.unwrap().unwrap();
    assert_eq!((socket.coming.capacity(), socket.leaving.capacity(), socket.waiting()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_does_not_read_is_read_no_more() {
    let (ours, mut theirs) = duplex(16 * 1024);
    let mut socket = WebSocket::new(ours, LONGEST);
    let asking = tokio::spawn(async move {
        let ping = frame(0x89, &[1; 125]);
        while theirs.write_all(&ping).await.is_ok() {}
    });
    while tokio::time::timeout(Duration::from_secs(1), socket.next()).await.is_ok() {}
    assert!(socket.waiting() < MOST_LEAVING + READ, "{}", socket.waiting());
    asking.abort();
}

proptest! {
    /// A library on the other side, whatever the sizes and however they are cut.
    #[test]
    fn messages_go_both_ways(
        messages in prop::collection::vec(prop_oneof![0..200_usize, 60_000..70_000_usize], 1..8),
        cut in 1..5_000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = duplex(3_000);
            let mut socket = WebSocket::new(ours, LONGEST);
            let config = Config::default().frame_size(cut);
            let mut client = ClientBuilder::new().config(config).take_over(theirs);
            let sizes = messages.clone();
            let client = tokio::spawn(async move {
                for (at, size) in sizes.into_iter().enumerate() {
                    let payload = vec![u8::try_from(at).unwrap(); size];
                    client.send(Message::binary(payload.clone())).await.unwrap();
                    let back: Bytes = client.next().await.unwrap().unwrap().into_payload().into();
                    assert_eq!(back, payload);
                }
                client.send(Message::close(Some(CloseCode::NORMAL_CLOSURE), "")).await.unwrap();
                while let Some(Ok(_)) = client.next().await {}
            });
            loop {
                match socket.next().await.unwrap() {
                    Incoming::Message(message) => socket.write(message),
                    Incoming::Sign => {}
                    Incoming::Goodbye => break,
                }
                socket.flush().await.unwrap();
            }
            socket.flush().await.unwrap();
            drop(socket);
            client.await.unwrap();
        });
    }

    #[test]
    fn any_bytes_are_taken_or_refused_however_they_are_cut(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            prop::collection::vec(
                (prop::sample::select(vec![0x00, 0x01, 0x02, 0x80, 0x82, 0x88, 0x89, 0x8A]),
                 prop::collection::vec(any::<u8>(), 0..200)),
                0..6,
            ).prop_map(|frames| frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()),
        ],
        piece in 1..50_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (whole, one, _) = heard(&bytes, usize::MAX).await;
            let (pieces, other, _) = heard(&bytes, piece).await;
            assert_eq!(whole, pieces);
            let code = |broken| match broken { Broken::Closed(code) => Some(code), Broken::Lost(_) => None };
            assert_eq!(code(one), code(other));
        });
    }
}
