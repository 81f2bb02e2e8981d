//! Secrets of a request covered in text that a server sent: some answer with what they were asked.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Plan;
use super::request::{HeaderEdit, Template, is_secret_header};

/// Stands for what must not be shown.
const MASK: &[u8] = b"***";
/// So much of a secret's beginning is covered where the text ends within it; the value of a cookie that is shorter is no
/// secret by itself.
const TELLING_BYTES: usize = 4;

impl Plan {
    /// `text` without what the request of `line` must not give away: values of secret headers, credentials in any of their
    /// forms, and its body.
    pub fn redact(&self, line: u64, text: &[u8]) -> Vec<u8> {
        self.redact_for(self.urls.template(line), self.body_of(line), None, text)
    }

    /// The same for a request of `template` that went out with this body and, beside its headers, these cookies.
    pub fn redact_for(&self, template: &Template, body: Option<&[u8]>, cookies: Option<&str>, text: &[u8]) -> Vec<u8> {
        let from_files = self.common.edits.iter().filter_map(|edit| match edit {
            HeaderEdit::Set(header) if header.secret => Some(header.value.as_bytes().to_vec()),
            _ => None,
        });
        let lines = template.header_lines.split("\r\n").filter_map(|line| line.split_once(": "));
        let lines = lines.chain(cookies.map(|cookies| ("Cookie", cookies)));
        let of_headers = lines.filter(|(name, _)| is_secret_header(name)).flat_map(|(name, value)| forms(name, value));
        let body = body.map(<[u8]>::to_vec);
        let mut secrets: Vec<Vec<u8>> = from_files.chain(of_headers).chain(body).collect();
        // A shorter one may be part of a longer one.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.iter().filter(|secret| !secret.is_empty()).fold(text.to_vec(), |text, secret| cover(&text, secret))
    }
}

/// A header's value, what stands behind its scheme, and the user and password in that; of cookies also the value of each.
fn forms(name: &str, value: &str) -> impl Iterator<Item = Vec<u8>> + use<> {
    let credentials = value.split_once(' ').map(|(_, credentials)| credentials.to_owned());
    let login = credentials.as_ref().and_then(|text| BASE64_STANDARD.decode(text).ok());
    let password = login.as_ref().and_then(|login| {
        let colon = login.iter().position(|&byte| byte == b':')?;
        Some(login[colon + 1..].to_vec())
    });
    let cookies = if name.eq_ignore_ascii_case("cookie") { value } else { "" };
    let values = cookies.split(';').filter_map(|cookie| Some(cookie.split_once('=')?.1.trim().as_bytes().to_vec()));
    let values: Vec<_> = values.filter(|value| value.len() >= TELLING_BYTES).collect();
    let whole = value.as_bytes().to_vec();
    [Some(whole), credentials.map(String::into_bytes), login, password].into_iter().flatten().chain(values)
}

fn cover(text: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut covered = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let cut_short = rest.len() >= TELLING_BYTES && rest.len() < secret.len() && secret.starts_with(rest);
        if rest.starts_with(secret) || cut_short {
            covered.extend_from_slice(MASK);
            rest = &rest[secret.len().min(rest.len())..];
        } else {
            covered.push(rest[0]);
            rest = &rest[1..];
        }
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::super::raw::{RawAuth, RawHeader};
    use super::super::shard::{Cpu, Machine};
    use super::super::{RawPlan, validate};

    #[test]
    fn what_a_request_must_not_give_away_is_covered_in_any_form() {
        let auth = RawAuth { user: Some("me:hush-1".into()), bearer: None };
        let headers = [("Cookie: hush-2", false), ("X-Mine: hush-3", true), ("X-Plain: seen", false)]
            .map(|(text, secret)| RawHeader { text: text.into(), secret });
        let body = Some(b"hush-4 and more".to_vec());
        let urls = vec!["http://10.0.0.2/".into()];
        let raw = RawPlan { urls, auth, headers: headers.into(), body, ..RawPlan::default() };
        let machine = Machine { cpus: vec![Cpu { id: 0, core: 0 }], quota: None };
        let plan = validate(&raw, &machine).expect("a plan");
        let text = b"a hush-1 me:hush-1 Basic bWU6aHVzaC0x bWU6aHVzaC0x hush-2 hush-3 seen hush-4 and more, hush-4 an";
        let shown = String::from_utf8(plan.redact(0, text)).expect("text");
        assert_eq!(shown, "a *** *** *** *** *** *** seen ***, ***");
        let of_request = |text: &[u8]| {
            let cookies = Some("a=1; id=hush-5");
            String::from_utf8(plan.redact_for(plan.urls.template(0), Some(b"hush-6"), cookies, text)).expect("text")
        };
        assert_eq!(
            of_request(b"a=1; id=hush-5 hush-5 1 hush-6 hush-2 hush-4 and more"),
            "*** *** 1 *** *** hush-4 and more"
        );
    }
}
