//! Content codings undone: the bytes of a body as they were before `Content-Encoding` (RFC 9110 section 8.4).
//!
//! Owns which codings a head names, their undoing piece by piece, and the bounds that keep a hostile body from taking the
//! machine. Knows nothing of framing, of the version of HTTP or of who wants the bytes, and keeps none of them.

use std::fmt;

mod fuzz;
mod layer;
#[cfg(test)]
mod tests;

pub use fuzz::fuzz_content;
use layer::Layer;

/// The most codings of one body.
pub const CODINGS_MAX: usize = 4;

/// The largest decoded body, in bytes.
pub const DECODED_BYTES_MAX: u64 = 1 << 30;

/// A body may expand this many times.
pub const RATIO_MAX: u64 = 1_000;

/// Up to so many decoded bytes, it may expand any number of times.
pub const RATIO_FREE_BYTES: u64 = 1 << 20;

/// The largest window of a coding, which is one of br.
const WINDOW_BYTES_MAX: u64 = 16 << 20;

/// Decoded bytes are handed over in pieces of at most this size.
const PIECE_BYTES: usize = 16 * 1024;

/// A coding that can be undone (RFC 9110 section 8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952, one member or several; also called `x-gzip`.
    Gzip,
    /// RFC 1950, or RFC 1951 alone, which some servers send by this name.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878 with a window of at most 8 MiB (RFC 9659).
    Zstd,
}

impl Coding {
    /// As it stands in a head.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    fn parse(token: &[u8]) -> Option<Self> {
        let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
        let named = [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd].into_iter().find(|coding| is(coding.name()));
        named.or_else(|| is("x-gzip").then_some(Self::Gzip))
    }
}

/// Why a body cannot be decoded; always the peer's doing.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContentError {
    /// A coding that is none of [`Coding`].
    #[error("the Content-Encoding of the answer is not made up of gzip, deflate, br and zstd")]
    UnknownCoding,
    /// More than [`CODINGS_MAX`].
    #[error("the answer has more than 4 content codings")]
    TooManyCodings,
    /// The bytes are not what the coding makes.
    #[error("the {} body of the answer is malformed", .0.name())]
    Malformed(Coding),
    /// The body ended in the middle.
    #[error("the {} body of the answer is cut short", .0.name())]
    CutShort(Coding),
    /// The coding ended before the body did.
    #[error("bytes follow the end of the {} body of the answer", .0.name())]
    Trailing(Coding),
    /// Beyond [`RATIO_MAX`].
    #[error("the body of the answer expands more than 1,000 times")]
    TooDense,
    /// Beyond [`DECODED_BYTES_MAX`].
    #[error("the body of the answer is larger than 1 GiB when decoded")]
    TooLarge,
}

/// What decoding may come to.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    bytes: u64,
    ratio: u64,
    free_bytes: u64,
}

impl Bounds {
    const DEFAULT: Self = Self { bytes: DECODED_BYTES_MAX, ratio: RATIO_MAX, free_bytes: RATIO_FREE_BYTES };

    /// Whether a coding may have made `made` bytes of a body of which `received` have come.
    fn check(self, made: u64, received: u64) -> Result<(), ContentError> {
        if made > self.bytes {
            return Err(ContentError::TooLarge);
        }
        if made > self.free_bytes && made > received.saturating_mul(self.ratio) {
            return Err(ContentError::TooDense);
        }
        Ok(())
    }
}

/// Undoes the codings of one body.
///
/// Takes memory while it lives: about 40 KiB for gzip and deflate (measured); for br and zstd as much as the body is long,
/// up to the window that it asks for, which is 16 MiB and 8 MiB at most.
///
/// ```
/// use ringload::wire::content::ContentDecoder;
///
/// let head = [("Content-Encoding", "deflate")].map(|(name, value)| (name.as_bytes(), value.as_bytes()));
/// let mut decoder = ContentDecoder::of(head.into_iter())?;
/// let mut text = Vec::new();
/// decoder.feed(b"x\x9c\xcbH\xcd\xc9\xc9\x07\x00\x06,\x02\x15", |piece| text.extend_from_slice(piece))?;
/// decoder.finish()?;
/// assert_eq!((text.as_slice(), decoder.decoded()), (&b"hello"[..], 5));
/// # Ok::<(), ringload::wire::content::ContentError>(())
/// ```
pub struct ContentDecoder {
    /// In the order in which they are undone, the last applied first.
    layers: Vec<Layer>,
    bounds: Bounds,
    received: u64,
    decoded: u64,
    failed: Option<ContentError>,
}

impl ContentDecoder {
    /// A decoder for the body under a head with these names and values; of a body without a coding it only counts.
    ///
    /// # Errors
    /// [`ContentError::UnknownCoding`] or [`ContentError::TooManyCodings`].
    pub fn of<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Self, ContentError> {
        Self::within(Bounds::DEFAULT, headers)
    }

    fn within<'a>(bounds: Bounds, headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Self, ContentError> {
        let values = headers.filter(|(name, _)| name.eq_ignore_ascii_case(b"content-encoding")).map(|(_, value)| value);
        let tokens = values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
        let mut layers = Vec::new();
        for token in tokens.filter(|token| !token.is_empty() && !token.eq_ignore_ascii_case(b"identity")) {
            if layers.len() == CODINGS_MAX {
                return Err(ContentError::TooManyCodings);
            }
            layers.push(Layer::new(Coding::parse(token).ok_or(ContentError::UnknownCoding)?));
        }
        layers.reverse();
        Ok(Self { layers, bounds, received: 0, decoded: 0, failed: None })
    }

    /// Takes in the next bytes of the body and hands over what they decode to.
    ///
    /// # Errors
    /// What is wrong with the body, again and again; what was handed over before may be wrong already.
    pub fn feed(&mut self, bytes: &[u8], mut out: impl FnMut(&[u8])) -> Result<(), ContentError> {
        self.failed.map_or(Ok(()), Err)?;
        self.received += bytes.len() as u64;
        let decoded = &mut self.decoded;
        let mut counted = |piece: &[u8]| {
            *decoded += piece.len() as u64;
            out(piece);
        };
        let passed = pass(&mut self.layers, self.bounds, self.received, bytes, &mut counted);
        self.failed = passed.err();
        passed
    }

    /// The body has ended. A body of no bytes at all is fine whatever its codings: answers without content name them too.
    ///
    /// # Errors
    /// [`ContentError::CutShort`], or what was wrong before.
    pub fn finish(&mut self) -> Result<(), ContentError> {
        let open = self.layers.iter().find(|layer| !layer.at_end()).filter(|_| self.received > 0);
        self.failed = self.failed.or_else(|| open.map(|layer| ContentError::CutShort(layer.coding())));
        self.failed.map_or(Ok(()), Err)
    }

    /// Bytes taken in so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// What it may hold on to by now, in bytes: what each coding has made, up to the largest window.
    pub fn memory(&self) -> u64 {
        self.layers.iter().map(|layer| layer.made().min(WINDOW_BYTES_MAX)).sum()
    }

    /// Bytes handed over so far.
    pub fn decoded(&self) -> u64 {
        self.decoded
    }
}

impl Default for ContentDecoder {
    /// For a body without a coding.
    fn default() -> Self {
        Self { layers: Vec::new(), bounds: Bounds::DEFAULT, received: 0, decoded: 0, failed: None }
    }
}

impl fmt::Debug for ContentDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codings: Vec<Coding> = self.layers.iter().map(Layer::coding).collect();
        f.debug_struct("ContentDecoder")
            .field("codings", &codings)
            .field("decoded", &self.decoded)
            .finish_non_exhaustive()
    }
}

/// Sends `bytes` through all of `layers`. Each is held to the bounds: what one blows up, the next may make small again.
fn pass(
    layers: &mut [Layer],
    bounds: Bounds,
    received: u64,
    bytes: &[u8],
    out: &mut dyn FnMut(&[u8]),
) -> Result<(), ContentError> {
    let Some((layer, rest)) = layers.split_first_mut() else {
        if !bytes.is_empty() {
            out(bytes);
        }
        return Ok(());
    };
    let mut buffer = [0; PIECE_BYTES];
    let mut at = 0;
    loop {
        let (taken, made) = layer.step(&bytes[at..], &mut buffer)?;
        at += taken;
        bounds.check(layer.made(), received)?;
        if made > 0 {
            pass(rest, bounds, received, &buffer[..made], out)?;
        }
        if at == bytes.len() && made < buffer.len() {
            return Ok(());
        }
        if taken == 0 && made == 0 {
            return Err(ContentError::Malformed(layer.coding()));
        }
    }
}
