//! Quantities with their units: durations, rates, counts and bytes, read from what people type and written as they read.
//!
//! Knows nothing of runs, sockets or clocks. Every parser is exact: a decimal never passes through a float.

use std::fmt;

/// Nanoseconds in a second.
pub const NANOS_PER_S: u64 = 1_000_000_000;

/// The largest count that survives JSON readers which keep numbers as doubles (2^53).
pub const COUNT_MAX: u64 = 1 << 53;

/// A length of time, or an instant since the clock's epoch, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// So many whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * NANOS_PER_S)
    }

    /// So many whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Seconds, for arithmetic that ends in print.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_S as f64
    }

    /// This as the standard library's duration.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }

    /// Reads `10s`, `1.5m`, `250ms`, `20us`, `7ns`, `1h`; a plain `0` needs no unit.
    ///
    /// # Errors
    /// A sentence fragment that says what is wrong and how to write it, for the caller to put behind the option's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_number(text)
            .ok_or_else(|| format!("{} is no duration; write e.g. 10s, 500ms or 2m", quoted(text)))?;
        let unit_ns = match unit {
            "" if number.mantissa == 0 => 1,
            "" => {
                return Err(format!("\"{text}\" has no unit; write {text}s for seconds or {text}ms for milliseconds"));
            }
            unit => unit_of_time(unit)
                .ok_or_else(|| format!("{} is no unit of time; use ns, us, ms, s, m or h", quoted(unit)))?,
        };
        let too_long = || format!("\"{text}\" is too long; the longest is 292 years");
        Self::of(number, unit_ns).ok_or_else(too_long)
    }

    /// Reads an instant as logs have it: seconds as a decimal (`1730000000.25`), or a time with its unit (`250ms`). `None`
    /// for what is neither, is finer than a nanosecond or beyond 292 years.
    pub fn parse_instant(text: &str) -> Option<Self> {
        let (number, unit) = split_number(text)?;
        Self::of(number, if unit.is_empty() { u128::from(NANOS_PER_S) } else { unit_of_time(unit)? })
    }

    fn of(number: Decimal, unit_ns: u128) -> Option<Self> {
        let ns = number.times(unit_ns).and_then(|ns| u64::try_from(ns).ok())?;
        (ns <= i64::MAX as u64).then_some(Self(ns))
    }
}

impl fmt::Display for Nanos {
    /// The shortest exact form: `10s`, `1.5s`, `250ms`; what [`Nanos::parse`] reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(NANOS_PER_S, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let (size, name) = units.into_iter().find(|&(size, _)| self.0 >= size).unwrap_or((1, "ns"));
        let (whole, rest) = (self.0 / size, self.0 % size);
        if rest == 0 {
            return write!(f, "{whole}{name}");
        }
        let width = size.ilog10() as usize;
        let decimals = format!("{rest:0width$}");
        write!(f, "{whole}.{}{name}", decimals.trim_end_matches('0'))
    }
}

/// An exact rate: `num / den` events a second, both above 0, in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events in `den` seconds; 1 to 2^53.
    pub num: u64,
    /// Seconds; 1 to 2^40, so that request number times period stays exact in 128 bits.
    pub den: u64,
}

impl Rate {
    /// Reads `10k`, `0.5`, `1000/s`, `600/m`, `90/h` as an exact fraction.
    ///
    /// # Errors
    /// A sentence fragment for the caller to put behind the option's name; a rate of 0 is one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let zero = || format!("\"{text}\" is 0; the rate must be above 0 (leave it out for a closed load)");
        Self::parse_or_none(text)?.ok_or_else(zero)
    }

    /// The same, with `None` for a rate of 0.
    ///
    /// # Errors
    /// As of [`Rate::parse`].
    pub fn parse_or_none(text: &str) -> Result<Option<Self>, String> {
        let bad = || format!("{} is no rate; write e.g. 1000, 10k, 0.5 or 600/m", quoted(text));
        let (amount, per) = text.split_once('/').unwrap_or((text, "s"));
        let period_s: u128 = match per {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(format!("{} has no period that is known; use /s, /m or /h", quoted(text))),
        };
        if amount.starts_with('-') {
            return Err(format!("{} is negative; the rate must be above 0", quoted(text)));
        }
        let (number, suffix) = split_number(amount).ok_or_else(bad)?;
        let num = number.mantissa.checked_mul(count_suffix(suffix).ok_or_else(bad)?).ok_or_else(bad)?;
        let den = number.scale.checked_mul(period_s).ok_or_else(bad)?;
        if num == 0 {
            return Ok(None);
        }
        let divisor = gcd(num, den);
        let fits = |value: u128, most: u64| u64::try_from(value / divisor).ok().filter(|&v| v <= most);
        match (fits(num, COUNT_MAX), fits(den, 1 << 40)) {
            (Some(num), Some(den)) => Ok(Some(Self { num, den })),
            _ => Err(format!("\"{text}\" is out of range or has too many digits")),
        }
    }

    /// Events a second, for print.
    pub fn per_s(self) -> f64 {
        self.num as f64 / self.den as f64
    }
}

impl fmt::Display for Rate {
    /// The fraction as `N` or `N/D` events a second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 { write!(f, "{}", self.num) } else { write!(f, "{}/{}", self.num, self.den) }
    }
}

/// A part of a whole, in millionths: 0 to 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// 0 to 1,000,000.
    pub millionths: u32,
}

impl Share {
    /// The whole.
    pub const ALL: Self = Self { millionths: 1_000_000 };

    /// Reads `1%`, `0.5%`, `100%`.
    ///
    /// # Errors
    /// A sentence fragment for the caller to put behind the option's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("{} is no share; write e.g. 1% or 0.5%", quoted(text));
        let (number, unit) = split_number(text).ok_or_else(bad)?;
        match unit {
            "%" => {}
            "" => return Err(format!("\"{text}\" has no percent sign; write {text}%")),
            _ => return Err(bad()),
        }
        let millionths = number
            .times(10_000)
            .ok_or_else(|| format!("\"{text}\" has too many digits; four after the point are told apart"))?;
        u32::try_from(millionths)
            .ok()
            .map(|millionths| Self { millionths })
            .filter(|share| *share <= Self::ALL)
            .ok_or_else(|| format!("\"{text}\" is more than 100%"))
    }

    /// Whether `part` of `whole` is more than this; exact.
    pub fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 1_000_000 > u128::from(whole) * u128::from(self.millionths)
    }

    /// The part of 1, for arithmetic that ends in print.
    pub fn as_f64(self) -> f64 {
        f64::from(self.millionths) / 1e6
    }
}

impl fmt::Display for Share {
    /// The shortest exact form: `1%`, `0.5%`; what [`Share::parse`] reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.millionths / 10_000, self.millionths % 10_000);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        let decimals = format!("{rest:04}");
        write!(f, "{whole}.{}%", decimals.trim_end_matches('0'))
    }
}

/// Bytes, two hexadecimal digits each.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).expect("four bits are a digit");
    bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Reads a count: `1000`, `10k`, `1.5M`, `2G`; at most 2^53.
///
/// # Errors
/// A sentence fragment for the caller to put behind the option's name.
pub fn parse_count(text: &str) -> Result<u64, String> {
    let bad = || format!("{} is no count; write a whole number such as 1000, 10k or 2M", quoted(text));
    let (number, suffix) = split_number(text).ok_or_else(bad)?;
    let count = number.times(count_suffix(suffix).ok_or_else(bad)?).ok_or_else(bad)?;
    u64::try_from(count)
        .ok()
        .filter(|&count| count <= COUNT_MAX)
        .ok_or_else(|| format!("\"{text}\" is beyond 2^53 (9007199254740992)"))
}

/// Reads a size in bytes: `512`, `64KiB`, `1.5MiB`, `2GB`; at most 2^53.
///
/// # Errors
/// A sentence fragment for the caller to put behind the option's name.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let bad = || format!("{} is no size; write e.g. 512, 64KiB or 10MB", quoted(text));
    let (number, suffix) = split_number(text).ok_or_else(bad)?;
    let unit = match suffix {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    let bytes = number.times(unit).ok_or_else(bad)?;
    let bytes = u64::try_from(bytes).ok().filter(|&bytes| bytes <= COUNT_MAX);
    bytes.ok_or_else(|| format!("\"{text}\" is beyond 2^53 bytes"))
}

/// A length of time as people read it in a table, from microseconds: `41.2us`, `635.91ms`, `12.04s`.
pub fn format_us(us: f64) -> String {
    let (value, unit) = match us {
        // Rounded to a whole number it must not reach the next unit.
        us if us < 999.5 => (us, "us"),
        us if us < 999_500.0 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    format!("{value:.prec$}{unit}", prec = precision(value))
}

/// Bytes in binary multiples: `512B`, `1.50KiB`, `2.10GiB`.
pub fn format_bytes(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let prec = if unit == 0 { 0 } else { precision(value) };
    format!("{value:.prec$}{}", UNITS[unit])
}

/// Three to four significant digits, never more than two decimals.
fn precision(value: f64) -> usize {
    match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    }
}

/// A decimal as `mantissa / scale`, `scale` a power of ten.
#[derive(Clone, Copy)]
struct Decimal {
    mantissa: u128,
    scale: u128,
}

impl Decimal {
    /// The whole number `self · factor`, or `None` where it is not whole or does not fit.
    fn times(self, factor: u128) -> Option<u128> {
        let product = self.mantissa.checked_mul(factor)?;
        (product % self.scale == 0).then_some(product / self.scale)
    }
}

/// What was typed, for a message: control characters in it must not steer a terminal.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

/// Splits `1.5ms` into the decimal 1.5 and `ms`; at most 20 digits, which every length of time can be written with.
fn split_number(text: &str) -> Option<(Decimal, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = whole.len() + fraction.len();
    if digits == 0 || digits > 20 || fraction.contains('.') {
        return None;
    }
    let mut mantissa = 0u128;
    for digit in whole.bytes().chain(fraction.bytes()) {
        mantissa = mantissa * 10 + u128::from(digit - b'0');
    }
    Some((Decimal { mantissa, scale: 10u128.pow(fraction.len() as u32) }, unit))
}

/// Nanoseconds of a unit of time.
fn unit_of_time(unit: &str) -> Option<u128> {
    let second = u128::from(NANOS_PER_S);
    Some(match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => second,
        "m" => 60 * second,
        "h" => 3_600 * second,
        _ => return None,
    })
}

fn count_suffix(suffix: &str) -> Option<u128> {
    match suffix {
        "" => Some(1),
        "k" | "K" => Some(1_000),
        "m" | "M" => Some(1_000_000),
        "g" | "G" => Some(1_000_000_000),
        _ => None,
    }
}

/// The greatest common divisor.
pub fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Checks what must hold for every text as a quantity of any kind: an accepted one is within its limits and, where it can
/// be written, reads back the same; a refusal steers no terminal.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_units(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let harmless = |problem: String| assert!(!problem.contains(char::is_control), "{problem:?} about {text:?}");
    match Nanos::parse(text) {
        Ok(time) => {
            assert!(time.0 <= i64::MAX as u64, "{text:?}");
            assert_eq!(Nanos::parse(&time.to_string()), Ok(time), "{text:?}");
        }
        Err(problem) => harmless(problem),
    }
    match Rate::parse(text) {
        Ok(rate) => {
            assert!((1..=COUNT_MAX).contains(&rate.num) && (1..=1 << 40).contains(&rate.den), "{text:?}");
            assert_eq!(gcd(rate.num.into(), rate.den.into()), 1, "{text:?} is in lowest terms");
            assert!(rate.per_s() > 0.0 && rate.per_s().is_finite());
        }
        Err(problem) => harmless(problem),
    }
    match Share::parse(text) {
        Ok(share) => {
            assert!(share <= Share::ALL, "{text:?}");
            assert_eq!(Share::parse(&share.to_string()), Ok(share), "{text:?}");
            assert!(!share.is_exceeded_by(0, u64::MAX) && (share == Share::ALL || share.is_exceeded_by(1, 1)));
        }
        Err(problem) => harmless(problem),
    }
    match parse_count(text) {
        Ok(count) => {
            assert!(count <= COUNT_MAX, "{text:?}");
            assert_eq!(parse_count(&count.to_string()), Ok(count), "{text:?}");
        }
        Err(problem) => harmless(problem),
    }
}

#[cfg(test)]
mod tests;
