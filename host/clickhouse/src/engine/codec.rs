//! Compression of request and response bodies.

use super::exception::Exception;
use bytes::{Buf, Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use std::io::Write;

/// ClickHouse's own framing: a 16 byte checksum, then method, size of method,
/// sizes and data, size before compression, and the data.
///
/// <https://clickhouse.com/docs/native-protocol/compression>
const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
const METHOD_ZSTD: u8 = 0x90;

/// The largest frame taken, compressed or not: it is held in memory whole.
/// ClickHouse itself allows 1 GiB.
const MAX_FRAME_BYTES: usize = 256 << 20;

fn cannot_decompress(text: impl std::fmt::Display) -> Exception {
    Exception::new(271, "CANNOT_DECOMPRESS", text)
}

/// `CityHash` 1.0.2, its halves in ClickHouse's order.
fn checksum(framed: &[u8]) -> [u8; CHECKSUM_BYTES] {
    cityhash_rs::cityhash_102_128(framed)
        .rotate_right(64)
        .to_le_bytes()
}

/// Undoes the compression of a request body, chunk by chunk.
pub(super) enum Decoder {
    Plain,
    /// `decompress=1`.
    Frames(BytesMut),
    /// `Content-Encoding: gzip`.
    Gzip {
        decoder: Box<flate2::write::MultiGzDecoder<Vec<u8>>>,
        any: bool,
    },
}

impl Decoder {
    /// Chooses by `decompress=1` and the `Content-Encoding` header.
    pub(super) fn new(frames: bool, headers: &HeaderMap) -> Result<Self, Exception> {
        let encoding = headers.get(CONTENT_ENCODING).map(|value| {
            String::from_utf8_lossy(value.as_bytes())
                .trim()
                .to_lowercase()
        });
        match (frames, encoding.as_deref()) {
            (true, None | Some("identity" | "")) => Ok(Self::Frames(BytesMut::new())),
            (false, None | Some("identity" | "")) => Ok(Self::Plain),
            (false, Some("gzip")) => Ok(Self::Gzip {
                decoder: Box::new(flate2::write::MultiGzDecoder::new(Vec::new())),
                any: false,
            }),
            (true, Some(_)) => Err(Exception::new(
                48,
                "NOT_IMPLEMENTED",
                "decompress=1 together with Content-Encoding",
            )),
            (false, Some(other)) => Err(Exception::new(
                89,
                "UNKNOWN_COMPRESSION_METHOD",
                format_args!(
                    "the embedded engine takes request bodies plain, with gzip, or with decompress=1, not with Content-Encoding {other}"
                ),
            )),
        }
    }

    /// Takes the next bytes of the body and passes what they decode to on.
    pub(super) fn push(&mut self, bytes: Bytes) -> Result<Vec<Bytes>, Exception> {
        match self {
            Self::Plain => Ok(vec![bytes]),
            Self::Frames(buffer) => {
                buffer.extend_from_slice(&bytes);
                let mut decoded = Vec::new();
                while let Some(frame) = next_frame(buffer)? {
                    decoded.push(frame);
                }
                Ok(decoded)
            }
            Self::Gzip { decoder, any } => {
                *any |= !bytes.is_empty();
                decoder
                    .write_all(&bytes)
                    .map_err(|error| cannot_decompress(format_args!("bad gzip body: {error}")))?;
                Ok(vec![Bytes::from(std::mem::take(decoder.get_mut()))])
            }
        }
    }

    /// Checks that the body ended where its compression does.
    pub(super) fn finish(self) -> Result<Bytes, Exception> {
        match self {
            Self::Plain => Ok(Bytes::new()),
            Self::Frames(buffer) if buffer.is_empty() => Ok(Bytes::new()),
            Self::Frames(buffer) => Err(cannot_decompress(format_args!(
                "the body ends {} bytes into a compressed frame",
                buffer.len()
            ))),
            Self::Gzip { any: false, .. } => Ok(Bytes::new()),
            Self::Gzip { decoder, .. } => decoder
                .finish()
                .map(Bytes::from)
                .map_err(|error| cannot_decompress(format_args!("bad gzip body: {error}"))),
        }
    }
}

fn next_frame(buffer: &mut BytesMut) -> Result<Option<Bytes>, Exception> {
    if buffer.len() < CHECKSUM_BYTES + HEADER_BYTES {
        return Ok(None);
    }
    let (expected, rest) = buffer.split_at(CHECKSUM_BYTES);
    let mut header = &rest[..HEADER_BYTES];
    let method = header.get_u8();
    let framed_bytes = header.get_u32_le() as usize;
    let plain_bytes = header.get_u32_le() as usize;
    match method {
        METHOD_NONE | METHOD_LZ4 => {}
        METHOD_ZSTD => {
            return Err(Exception::new(
                89,
                "UNKNOWN_COMPRESSION_METHOD",
                "the embedded engine takes LZ4 and uncompressed frames, not ZSTD",
            ));
        }
        other => {
            return Err(Exception::new(
                89,
                "UNKNOWN_COMPRESSION_METHOD",
                format_args!("unknown compression method {other:#04x} in the body"),
            ));
        }
    }
    if framed_bytes < HEADER_BYTES || framed_bytes.max(plain_bytes) > MAX_FRAME_BYTES {
        return Err(Exception::new(
            12,
            "TOO_LARGE_SIZE_COMPRESSED",
            format_args!(
                "a compressed frame of {framed_bytes} bytes for {plain_bytes}; the limit is {MAX_FRAME_BYTES}"
            ),
        ));
    }
    if rest.len() < framed_bytes {
        return Ok(None);
    }
    let framed = &rest[..framed_bytes];
    if checksum(framed) != expected {
        return Err(Exception::new(
            40,
            "CHECKSUM_DOESNT_MATCH",
            "checksum of a compressed frame does not match its data",
        ));
    }
    let data = &framed[HEADER_BYTES..];
    let plain = if method == METHOD_NONE {
        Bytes::copy_from_slice(data)
    } else {
        let plain = lz4_flex::block::decompress(data, plain_bytes)
            .map_err(|error| cannot_decompress(format_args!("bad LZ4 frame: {error}")))?;
        Bytes::from(plain)
    };
    if plain.len() != plain_bytes {
        return Err(cannot_decompress(format_args!(
            "a frame of {} bytes says it holds {plain_bytes}",
            plain.len()
        )));
    }
    buffer.advance(CHECKSUM_BYTES + framed_bytes);
    Ok(Some(plain))
}

/// Compresses a response body, chunk by chunk.
pub(super) enum Encoder {
    Plain,
    /// `compress=1`: ClickHouse's own framing with LZ4.
    Frames,
    /// `Accept-Encoding: lz4`: the LZ4 frame format.
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    /// `Accept-Encoding: gzip`.
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
}

impl Encoder {
    /// Chooses by `compress=1`, else by the `Accept-Encoding` header when the
    /// setting `enable_http_compression` is on, as it is by default.
    pub(super) fn new(frames: bool, http: bool, headers: &HeaderMap) -> Self {
        if frames {
            return Self::Frames;
        }
        let accepted = headers
            .get(ACCEPT_ENCODING)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase())
            .unwrap_or_default();
        let accepts = |name| {
            http && accepted.split(',').any(|part| {
                let mut part = part.split(';').map(str::trim);
                part.next() == Some(name) && part.next() != Some("q=0")
            })
        };
        if accepts("lz4") {
            let settings =
                lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max256KB);
            let encoder = lz4_flex::frame::FrameEncoder::with_frame_info(settings, Vec::new());
            Self::Lz4(Box::new(encoder))
        } else if accepts("gzip") {
            let level = flate2::Compression::fast();
            Self::Gzip(Box::new(flate2::write::GzEncoder::new(Vec::new(), level)))
        } else {
            Self::Plain
        }
    }

    /// The `Content-Encoding` of the response.
    pub(super) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::Frames => None,
            Self::Lz4(_) => Some("lz4"),
            Self::Gzip(_) => Some("gzip"),
        }
    }

    /// Takes the next bytes of the result; the answer may be empty.
    ///
    /// `flush` ends the compressed block, so that what comes next begins one.
    pub(super) fn push(&mut self, plain: Bytes, flush: bool) -> Bytes {
        match self {
            Self::Plain => plain,
            Self::Frames => frame(&plain),
            Self::Lz4(encoder) => {
                write_to_memory(encoder.as_mut(), &plain, flush);
                Bytes::from(std::mem::take(encoder.get_mut()))
            }
            Self::Gzip(encoder) => {
                write_to_memory(encoder.as_mut(), &plain, flush);
                Bytes::from(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// What the compression adds at the end.
    pub(super) fn finish(self) -> Bytes {
        match self {
            Self::Plain | Self::Frames => Bytes::new(),
            Self::Lz4(encoder) => encoder.finish().unwrap_or_default().into(),
            Self::Gzip(encoder) => encoder.finish().unwrap_or_default().into(),
        }
    }
}

fn write_to_memory(encoder: &mut impl Write, plain: &[u8], flush: bool) {
    encoder
        .write_all(plain)
        .and_then(|()| if flush { encoder.flush() } else { Ok(()) })
        .expect("a Vec takes all that is written");
}

fn frame(plain: &[u8]) -> Bytes {
    if plain.is_empty() {
        return Bytes::new();
    }
    let mut framed = vec![0; CHECKSUM_BYTES + HEADER_BYTES];
    framed.extend_from_slice(&lz4_flex::block::compress(plain));
    let framed_bytes = framed.len() - CHECKSUM_BYTES;
    let header = &mut framed[CHECKSUM_BYTES..CHECKSUM_BYTES + HEADER_BYTES];
    header[0] = METHOD_LZ4;
    header[1..5].copy_from_slice(&(framed_bytes as u32).to_le_bytes());
    header[5..9].copy_from_slice(&(plain.len() as u32).to_le_bytes());
    let sum = checksum(&framed[CHECKSUM_BYTES..]);
    framed[..CHECKSUM_BYTES].copy_from_slice(&sum);
    framed.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(decoder: Decoder, body: &[u8], step: usize) -> Result<Vec<u8>, Exception> {
        let mut decoder = decoder;
        let mut plain = Vec::new();
        for chunk in body.chunks(step) {
            for part in decoder.push(Bytes::copy_from_slice(chunk))? {
                plain.extend_from_slice(&part);
            }
        }
        plain.extend_from_slice(&decoder.finish()?);
        Ok(plain)
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn frames_survive_any_cut() {
        let plain = b"one two three ".repeat(50);
        let body = [frame(&plain), frame(b"x")].concat();
        for step in [1, 7, 25, 26, body.len()] {
            let frames = Decoder::Frames(BytesMut::new());
            assert_eq!(
                decode(frames, &body, step).unwrap(),
                [&plain[..], b"x"].concat()
            );
        }
    }

    #[test]
    fn damaged_and_truncated_bodies_are_refused() {
        let frames = || Decoder::Frames(BytesMut::new());
        let whole = frame(b"some text some text some text").to_vec();
        for cut in 1..whole.len() {
            assert!(decode(frames(), &whole[..cut], 16).is_err(), "{cut}");
        }
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(decode(frames(), &damaged, 16).unwrap_err().code, 40);
        let mut zstd = whole;
        zstd[CHECKSUM_BYTES] = METHOD_ZSTD;
        assert_eq!(decode(frames(), &zstd, 16).unwrap_err().code, 89);

        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, "gzip".parse().unwrap())]);
        let gzipped = gzip(b"some text some text some text");
        let decoder = || Decoder::new(false, &headers).unwrap();
        assert_eq!(
            decode(decoder(), &gzipped, 5).unwrap(),
            b"some text some text some text"
        );
        for cut in 1..gzipped.len() {
            assert!(decode(decoder(), &gzipped[..cut], 16).is_err(), "{cut}");
        }
    }

    #[test]
    fn the_reply_is_compressed_as_the_client_accepts() {
        let choose = |accept: &'static str, http| {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, accept.parse().unwrap())]);
            Encoder::new(false, http, &headers).name()
        };
        assert_eq!(choose("lz4", true), Some("lz4"));
        assert_eq!(choose("gzip, deflate", true), Some("gzip"));
        assert_eq!(choose("gzip;q=0, br", true), None);
        assert_eq!(choose("lz4", false), None);
    }
}
