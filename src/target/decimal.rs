//! Decimal numbers as bytes: read without a detour through text, written without a formatter.

/// Width of the largest 64-bit number.
pub(super) const WIDTH: usize = 20;

/// The number that `text` spells with digits alone; `None` for anything else, and above 2^64 - 1.
pub(super) fn parse(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// `value` at the right of a field of spaces.
pub(super) fn padded(value: u64) -> [u8; WIDTH] {
    let mut field = [b' '; WIDTH];
    let mut rest = value;
    for place in field.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    field
}

/// Appends `value` with no padding.
pub(super) fn append(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(padded(value).trim_ascii_start());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_as_written() {
        for value in [0, 9, 10, 12_345, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            append(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
            assert_eq!(parse(&out), Some(value));
        }
    }

    #[test]
    fn only_digits_make_a_number() {
        for text in ["", "+1", "-1", " 1", "1 ", "1.0", "0x1", "18446744073709551616", "99999999999999999999999"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"0007"), Some(7));
    }
}
