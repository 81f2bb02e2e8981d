//! URL sets from arbitrary bytes, plain or JSON Lines: what must hold for every input file, for a fuzzer and for tests.

use std::fmt::Write as _;

use super::{Builder, UrlSet};
use crate::plan::PlanError;
use crate::plan::request::Common;

/// In capitals, as no host is shown: those of a name in punycode may spell anything else.
const SECRET: &[u8] = b"HUSH-4711";

/// Checks what must hold for every file: an accepted one has an entry for each of its lines, takes memory in proportion to
/// its length, and comes out as it went in when its lines are written in full; a refused one is fine up to the line that is
/// named, which is refused by itself too; credentials are in no refusal and in no URL that is shown.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_url_lines(bytes: &[u8]) {
    match read(bytes) {
        Ok(set) => accepted(&set, bytes),
        Err(error) => refused(&error, bytes),
    }
    if memchr::memmem::find(bytes, SECRET).is_some() {
        return;
    }
    let credentials = [&b"me:"[..], SECRET, b"@"].concat();
    // Behind the first scheme of the line: what stands in a path is no authority.
    let after_scheme = lines(bytes).map(|line| match memchr::memmem::find(line, b"://") {
        Some(at) => [&line[..at + 3], &credentials, &line[at + 3..]].concat(),
        None => line.to_vec(),
    });
    for content in [join(after_scheme), join(lines(bytes).map(|line| [&credentials, line].concat()))] {
        let shown = match read(&content) {
            Ok(set) => (0..set.len()).map(|line| set.url(line)).collect(),
            Err(error) => error.to_string(),
        };
        assert!(memchr::memmem::find(shown.as_bytes(), SECRET).is_none(), "{shown:?} of {}", content.escape_ascii());
    }
}

fn read(content: &[u8]) -> Result<UrlSet, PlanError> {
    let common = Common { keep_alive: true, ..Common::default() };
    let mut builder = Builder::new(&common, "GET");
    builder.push_file("file", content)?;
    Ok(builder.finish())
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|&byte| byte == b'\n')
}

fn join(lines: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    lines.collect::<Vec<_>>().join(&b'\n')
}

fn accepted(set: &UrlSet, content: &[u8]) {
    let plain = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let json = plain.trim_ascii_start().starts_with(b"{");
    let full = lines(plain).filter(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let first = line.iter().find(|byte| !b" \t".contains(byte));
        first.is_some_and(|first| json || *first != b'#')
    });
    assert_eq!(set.len(), full.count() as u64, "a line is an entry: {}", content.escape_ascii());
    let most = 3 * content.len() + 32 * set.len() as usize;
    assert!(set.memory() <= most, "{} of {most} bytes: {}", set.memory(), content.escape_ascii());
    if json {
        return;
    }
    let mut written = String::new();
    for line in 0..set.len() {
        let _ = writeln!(written, "{} {}", set.template(line).method, set.url(line));
    }
    let again = read(written.as_bytes()).expect("what was accepted");
    assert_eq!(again.len(), set.len());
    for line in 0..set.len() {
        assert_eq!(again.url(line), set.url(line));
        assert_eq!(again.template(line).method, set.template(line).method);
    }
}

fn refused(error: &PlanError, content: &[u8]) {
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
    let Some(number) = error.subject.strip_prefix("file line ") else {
        assert_eq!(error.subject, "file");
        return;
    };
    let number: usize = number.parse().expect("a number");
    let count = lines(content).count();
    assert!((1..=count).contains(&number), "line {number} of {count}");
    let upto = |end: usize| join(lines(content).take(end).map(<[u8]>::to_vec));
    if let Err(before) = read(&upto(number - 1)) {
        assert_eq!(before.subject, "file", "only the lack of any URL may be wrong before {error:?}");
    }
    let cut = read(&upto(number)).expect_err("the line that was named").subject;
    assert_eq!(cut, error.subject, "{}", content.escape_ascii());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_always_hold_holds_for_mutated_files() {
        let corpus: [&[u8]; 8] = [
            // In punycode, the letters of such a host stand together.
            b"http://ahus\xca\x92h-4711\nhttp://b/",
            b"\xef\xbb\xbfhttp://a/1\r\n# comment\n\nPOST http://a/2\n\tDELETE\thttp://b:81/3?x \nhttp://a/4",
            b"http://me:p%40ss@a/\nHTTP://A:80?q#f\n",
            b"http://[::1]/\nhttp://127.1\n",
            b"me:pw@a/b\n",
            b"POST htTp://a/2\xef\xbb\xbfhttp://a/1\r\nhttp://4000000000a/4",
            b"\n\n#\nhttp://a/\n\xff\xfe\0",
            b"0.25 http://a/\n250ms PUT http://a/2\n1\tGET\t\thttp://b/\n",
        ];
        let telling: [&[u8]; 14] = [
            b"\n",
            b"\r\n",
            b"\n\n",
            b" ",
            b"\t",
            b"#",
            b"http://",
            b"://",
            b"@",
            b"GET ",
            b"CONNECT ",
            b"\0",
            b"\xff",
            b"\x0c",
        ];
        crate::mutation::run("url_lines", &corpus, &telling, 3_000, fuzz_url_lines);
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_files_of_json() {
        let corpus: [&[u8]; 3] = [
            br#" {"url":"http://a/1"}
{"method":"PUT","url":"http://a/2","body":"aGk=","weight":2}"#,
            b"{\"url\":\"http://me:pw@a/\",\"header\":{\"A\":[\"b\"],\"Host\":[]}}\r\n\r\n{\"url\":\"http://b/\"}\n",
            b"\n{\"method\":\"G T\",\"url\":\"http://a/\"}",
        ];
        let telling: [&[u8]; 9] = [b"\n", b"\"", b"{", b"}", b",", b"http://", b"@", b"\0", b"\\u0000"];
        crate::mutation::run("json_lines", &corpus, &telling, 3_000, fuzz_url_lines);
    }
}
