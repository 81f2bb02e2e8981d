//! Which hosts belong together: the registrable domain, by the public suffix list (publicsuffix.org) that the `psl` crate
//! has compiled in.
//!
//! A site is what one core owns, and as far as a cookie goes.

use url::Host;

/// The registrable domain of a host (`example.co.uk` of `www.example.co.uk`); an address, or a name that is a public suffix
/// itself or has but one label, is its own.
pub fn site_of(host: &Host<String>) -> String {
    match host {
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            psl::domain_str(name).unwrap_or(name).to_owned()
        }
        address => address.to_string(),
    }
}

/// Whether anybody may register names directly below this one: it is no domain that cookies could be for.
pub fn is_public_suffix(name: &str) -> bool {
    psl::suffix_str(name) == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(host: &str) -> String {
        site_of(&Host::parse(host).expect(host))
    }

    #[test]
    fn hosts_of_one_owner_are_one_site() {
        for (host, expected) in [
            ("www.example.com", "example.com"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("me.github.io", "me.github.io"),
            ("x.me.github.io", "me.github.io"),
            ("host7.test", "host7.test"),
            ("a.host7.test.", "host7.test"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(site(host), expected, "{host}");
        }
    }

    #[test]
    fn suffixes_are_no_domains() {
        assert!(["com", "co.uk", "github.io", "localhost"].into_iter().all(is_public_suffix));
        assert!(!["example.com", "example.co.uk", "me.github.io"].into_iter().any(is_public_suffix));
    }
}
