//! One coding undone, whichever library does it: bytes in, bytes out, and where its end is.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation as _};

use super::{Coding, ContentError};

/// Binary logarithm of the largest window of zstd: 8 MiB (RFC 9659 section 3).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// The largest window of gzip, in bits.
const GZIP_WINDOW_BITS: u8 = 15;

/// A coding on its way to be undone.
pub(super) struct Layer {
    coding: Coding,
    /// Made with the first byte, which tells the two kinds of deflate apart.
    engine: Option<Engine>,
    /// What was taken in so far makes a whole.
    at_end: bool,
    made: u64,
}

/// What does it.
enum Engine {
    Inflate(Decompress),
    // In a box: it is a thousand times as large as the others.
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(ZstdDecoder<'static>),
}

impl Layer {
    pub(super) fn new(coding: Coding) -> Self {
        Self { coding, engine: None, at_end: false, made: 0 }
    }

    pub(super) fn coding(&self) -> Coding {
        self.coding
    }

    /// Whether the coding is complete with what was taken in.
    pub(super) fn at_end(&self) -> bool {
        self.at_end
    }

    /// Bytes made so far.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Takes in a prefix of `input` and fills a prefix of `output`; the lengths of both. To be called until all is taken in
    /// and `output` is not full any more.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), ContentError> {
        let malformed = ContentError::Malformed(self.coding);
        if input.is_empty() && (self.at_end || self.engine.is_none()) {
            return Ok((0, 0));
        }
        if self.at_end {
            self.go_on()?;
        }
        let engine = match &mut self.engine {
            Some(engine) => engine,
            None => self.engine.insert(Engine::new(self.coding, input[0]).ok_or(malformed)?),
        };
        let (taken, made, at_end) = engine.step(input, output).ok_or(malformed)?;
        self.at_end = at_end;
        self.made += made as u64;
        Ok((taken, made))
    }

    /// More comes after a whole: another member of gzip (RFC 1952 section 2.2) or frame of zstd (RFC 8878 section 3.1), and
    /// nothing else.
    fn go_on(&mut self) -> Result<(), ContentError> {
        match (self.coding, &mut self.engine) {
            (Coding::Gzip, Some(Engine::Inflate(inflate))) => {
                inflate.reset(true);
                Ok(())
            }
            (Coding::Zstd, _) => Ok(()),
            _ => Err(ContentError::Trailing(self.coding)),
        }
    }
}

impl Engine {
    /// `None` where it cannot be had, for want of memory.
    fn new(coding: Coding, first: u8) -> Option<Self> {
        // The method of RFC 1950 is in the lower half; a deflate block that no encoder makes would look like it.
        let zlib = first & 0x0f == 8;
        Some(match coding {
            Coding::Gzip => Self::Inflate(Decompress::new_gzip(GZIP_WINDOW_BITS)),
            Coding::Deflate => Self::Inflate(Decompress::new(zlib)),
            Coding::Brotli => {
                let alloc = StandardAlloc::default;
                Self::Brotli(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())))
            }
            Coding::Zstd => {
                let mut decoder = ZstdDecoder::new().ok()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).ok()?;
                Self::Zstd(decoder)
            }
        })
    }

    /// Bytes taken, bytes made, and whether that is the end; `None` where the input is malformed.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Option<(usize, usize, bool)> {
        match self {
            Self::Inflate(inflate) => {
                let (taken, made) = (inflate.total_in(), inflate.total_out());
                let status = inflate.decompress(input, output, FlushDecompress::None).ok()?;
                let (taken, made) = (inflate.total_in() - taken, inflate.total_out() - made);
                Some((taken as usize, made as usize, status == Status::StreamEnd))
            }
            Self::Brotli(state) => {
                let (mut left, mut taken, mut room, mut made) = (input.len(), 0, output.len(), 0);
                let result =
                    BrotliDecompressStream(&mut left, &mut taken, input, &mut room, &mut made, output, &mut 0, state);
                let at_end = match result {
                    BrotliResult::ResultSuccess => true,
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => false,
                    BrotliResult::ResultFailure => return None,
                };
                Some((taken, made, at_end))
            }
            Self::Zstd(decoder) => {
                let status = decoder.run_on_buffers(input, output).ok()?;
                Some((status.bytes_read, status.bytes_written, status.remaining == 0))
            }
        }
    }
}
