//! Credentials of the options: what they become on the wire.
//!
//! Basic is RFC 7617, Bearer RFC 6750. Where the values come from is not known here; they are in no message.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::error::PlanError;
use super::raw::RawAuth;

/// The credentials of all requests, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization {
    /// How they are shown.
    pub scheme: Scheme,
    /// The value of the header; a secret.
    pub(super) value: String,
}

/// An authentication scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// User and password (RFC 7617).
    Basic,
    /// A token (RFC 6750).
    Bearer,
}

impl Scheme {
    /// As reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Bearer => "bearer",
        }
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl Authorization {
    /// Reads what was said of credentials.
    ///
    /// # Errors
    /// Both kinds at once, a user without a password, characters that the scheme has no place for.
    pub(super) fn new(raw: &RawAuth) -> Result<Option<Self>, PlanError> {
        match (&raw.user, &raw.bearer) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                Err(PlanError::new("--bearer", "does not go with -u: a request has one Authorization; leave one out"))
            }
            (Some(user), None) if !user.contains(':') => {
                Err(PlanError::new("-u", "has no colon; write USER:PASSWORD, or USER: for an empty password"))
            }
            (Some(user), None) if user.contains(char::is_control) => {
                Err(PlanError::new("-u", "holds a control character, for which RFC 7617 has no place; leave it out"))
            }
            (Some(user), None) => Ok(Some(Self { scheme: Scheme::Basic, value: basic(user) })),
            (None, Some(token)) if !is_token68(token) => {
                let problem = "is no token of RFC 6750: letters, digits and -._~+/ with = at the end; another value goes \
                               into -H 'Authorization: ...'";
                Err(PlanError::new("--bearer", problem))
            }
            (None, Some(token)) => Ok(Some(Self { scheme: Scheme::Bearer, value: format!("Bearer {token}") })),
        }
    }
}

/// The value of Authorization for `user:password`.
pub(super) fn basic(credentials: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(credentials))
}

/// RFC 9110 section 11.2, which RFC 6750 calls `b64token`.
fn is_token68(text: &str) -> bool {
    let token = text.trim_end_matches('=');
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(user: Option<&str>, bearer: Option<&str>) -> Result<Option<Authorization>, PlanError> {
        Authorization::new(&RawAuth { user: user.map(str::to_owned), bearer: bearer.map(str::to_owned) })
    }

    #[track_caller]
    fn value(user: Option<&str>, bearer: Option<&str>) -> String {
        read(user, bearer).expect("credentials").expect("some").value
    }

    #[test]
    fn credentials_become_what_the_rfcs_show() {
        // The examples of RFC 7617, the second with a pound sign in UTF-8, and of RFC 6750.
        assert_eq!(value(Some("Aladdin:open sesame"), None), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(value(Some("test:123\u{a3}"), None), "Basic dGVzdDoxMjPCow==");
        assert_eq!(value(None, Some("mF_9.B5f-4.1JqM")), "Bearer mF_9.B5f-4.1JqM");
        assert_eq!(value(Some("me:a:b"), None), basic("me:a:b"));
        assert_eq!(value(Some(":"), None), basic(":"));
        assert_eq!(read(None, None), Ok(None));
    }

    #[test]
    fn what_no_header_can_carry_is_refused_and_not_quoted() {
        for (user, bearer, part) in [
            (Some("hush"), None, "no colon"),
            (Some("me:hush\r\nX: y"), None, "control character"),
            (Some("me:hush\0"), None, "control character"),
            (None, Some(""), "RFC 6750"),
            (None, Some("=="), "RFC 6750"),
            (None, Some("hush hush"), "RFC 6750"),
            (None, Some("hu=sh"), "RFC 6750"),
            (None, Some("hush\r\nX: y"), "RFC 6750"),
            (Some("me:hush"), Some("hush"), "leave one out"),
        ] {
            let error = read(user, bearer).expect_err(part).to_string();
            assert!(error.contains(part) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn no_debugging_output_shows_them() {
        let raw = RawAuth { user: Some("me:hush".into()), bearer: None };
        let shown = format!("{raw:?} {:?}", Authorization::new(&raw));
        assert!(shown.contains("Basic") && !shown.contains("hush") && !shown.contains(&basic("me:hush")), "{shown}");
    }
}
