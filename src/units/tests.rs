//! Quantities as people type them, and as they are written.

use super::*;

#[test]
fn bytes_are_two_digits_each() {
    assert_eq!(hex(&[0, 0x0f, 0xa0, 0xff]), "000fa0ff");
    assert_eq!(hex(&[]), "");
}

#[test]
fn durations_are_exact_and_read_back_as_written() {
    for (text, ns) in [
        ("10s", 10 * NANOS_PER_S),
        ("1.5s", 1_500_000_000),
        ("250ms", 250_000_000),
        ("2m", 120 * NANOS_PER_S),
        ("1h", 3_600 * NANOS_PER_S),
        ("20us", 20_000),
        ("7ns", 7),
        ("0", 0),
        ("0.000000001s", 1),
    ] {
        let parsed = Nanos::parse(text).expect(text);
        assert_eq!(parsed, Nanos(ns), "{text}");
        assert_eq!(Nanos::parse(&parsed.to_string()), Ok(parsed), "{text}");
    }
}

#[test]
fn a_duration_without_sense_is_refused_with_a_remedy() {
    for (text, part) in [
        ("10", "write 10s"),
        ("", "no duration"),
        ("s", "no duration"),
        ("-1s", "no duration"),
        ("1.2.3s", "no duration"),
        ("5d", "no unit of time"),
        ("0.5ns", "too long"),
        ("999999999999h", "too long"),
    ] {
        let error = Nanos::parse(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn rates_are_fractions_in_lowest_terms() {
    for (text, num, den) in [
        ("1000", 1000, 1),
        ("10k", 10_000, 1),
        ("0.5", 1, 2),
        ("600/m", 10, 1),
        ("1/h", 1, 3600),
        ("1.5M/s", 1_500_000, 1),
    ] {
        assert_eq!(Rate::parse(text), Ok(Rate { num, den }), "{text}");
    }
    for text in ["0", "0.0", "-5", "", "fast", "5/d", "1e3"] {
        assert!(Rate::parse(text).is_err(), "{text}");
    }
}

#[test]
fn counts_take_suffixes_and_stop_at_two_to_the_fifty_third() {
    assert_eq!(parse_count("1000"), Ok(1000));
    assert_eq!(parse_count("10k"), Ok(10_000));
    assert_eq!(parse_count("1.5M"), Ok(1_500_000));
    assert_eq!(parse_count("9007199254740992"), Ok(COUNT_MAX));
    for text in ["9007199254740993", "1.5", "-1", "", "ten", "0x10"] {
        assert!(parse_count(text).is_err(), "{text}");
    }
}

#[test]
fn sizes_are_decimal_or_binary_and_say_which() {
    for (text, bytes) in [("0", 0), ("512B", 512), ("64KiB", 65_536), ("1.5MiB", 3 << 19), ("2GB", 2_000_000_000)] {
        assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
    }
    for text in ["", "1k", "1M", "0.5", "-1", "9007199254740993", "MiB"] {
        assert!(parse_bytes(text).is_err(), "{text}");
    }
}

#[test]
fn tables_show_three_or_four_digits() {
    assert_eq!(format_us(0.0), "0.00us");
    assert_eq!(format_us(41.25), "41.2us");
    assert_eq!(format_us(999.6), "1.00ms");
    assert_eq!(format_us(1_234.0), "1.23ms");
    assert_eq!(format_us(2_500_000.0), "2.50s");
    assert_eq!(format_bytes(512.0), "512B");
    assert_eq!(format_bytes(1536.0), "1.50KiB");
}

#[test]
fn shares_are_exact_and_read_back() {
    for (text, millionths) in [("1%", 10_000), ("0.5%", 5_000), ("100%", 1_000_000), ("0%", 0), ("0.0001%", 1)] {
        let share = Share::parse(text).expect(text);
        assert_eq!((share.millionths, share.to_string().as_str()), (millionths, text));
    }
    for (text, part) in [("1", "write 1%"), ("101%", "more than 100%"), ("-1%", "no share"), ("1.00001%", "too many")] {
        let problem = Share::parse(text).expect_err(text);
        assert!(problem.contains(part), "{problem}");
    }
    let one = Share::parse("1%").expect("a share");
    assert!(!one.is_exceeded_by(1, 100) && one.is_exceeded_by(2, 100) && one.is_exceeded_by(u64::MAX, u64::MAX));
    assert!(!one.is_exceeded_by(0, 0), "nothing is not too much of nothing");
}

#[test]
fn what_must_always_hold_holds_for_mutated_quantities() {
    let corpus: [&[u8]; 14] = [
        b"10s",
        b"1.5m",
        b"250ms",
        b"0.000000001s",
        b"2562047.78h",
        b"9223372036854775807ns",
        b"10k",
        b"600/m",
        b"90/h",
        b"1.5M",
        b"9007199254740992",
        b"0.5%",
        b"100%",
        b"33.3333%",
    ];
    let telling: [&[u8]; 10] = [b".", b"0", b"9", b"s", b"h", b"%", b"k", b"/m", b"\x1b", "\u{b5}s".as_bytes()];
    crate::mutation::run("rules_and_units", &corpus, &telling, 20_000, fuzz_units);
}

#[test]
fn the_longest_times_read_back_though_they_have_more_digits_than_people_type() {
    for text in ["9223372036854775807ns", "2562047.12345678901h"] {
        let time = Nanos::parse(text).expect(text);
        assert_eq!(Nanos::parse(&time.to_string()), Ok(time), "{text}");
    }
}
