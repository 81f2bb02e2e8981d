//! robots.txt (RFC 9309): what may be asked of an origin, and how fast.
//!
//! Owns what is known of each origin, within a bound; parsing and matching are the `robotxt` crate's. Asks for nothing
//! itself: it says when robots.txt has to be fetched, and is told what came.

use lru::LruCache;
use robotxt::Robots as Rules;

use crate::plan::origin::Origin;
use crate::units::Nanos;

/// So much of a robots.txt is read, in bytes; the parser takes the first 500 KiB, as section 2.5 asks at least.
pub const ROBOTS_BYTES_MAX: usize = 512 * 1024;
/// Redirects of robots.txt itself that are followed (section 2.3.1.2).
pub const REDIRECTS_MAX: u32 = 5;
/// Where robots.txt is.
pub const ROBOTS_TARGET: &str = "/robots.txt";

/// Rules are read anew after a day (section 2.4).
const RULES_LAST: Nanos = Nanos::from_secs(24 * 3_600);
/// One that could not be had is tried again after so long.
const UNREACHABLE_LASTS: Nanos = Nanos::from_secs(300);
/// A longer delay between requests is taken for this.
const DELAY_MAX: Nanos = Nanos::from_secs(24 * 3_600);
/// What a core keeps of all origins, in bytes by estimate.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Of one origin beside its rules, and of one rule beside its text.
const ENTRY_BYTES: usize = 300;
const RULE_BYTES: usize = 64;
const SITEMAP_BYTES: usize = 160;

/// Whether something may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is known: whoever asked fetches robots.txt now, and then says what came. Said once for each fetch.
    Fetch,
    /// Somebody is fetching it.
    Wait,
    /// Go on.
    Allowed,
    /// The line ends as `robots`.
    Disallowed,
    /// robots.txt could not be had: the line ends as `robots_unreachable`.
    Unreachable,
}

#[derive(Debug)]
enum State {
    Fetching,
    Known(Rules),
    /// Why.
    Unreachable(Box<str>),
}

#[derive(Debug)]
struct Entry {
    state: State,
    /// When it is forgotten.
    until: Nanos,
    bytes: usize,
}

/// What one core knows of its origins.
#[derive(Debug)]
pub struct Robots {
    /// The product token that rules name us by.
    token: String,
    origins: LruCache<Origin, Entry>,
    bytes: usize,
}

impl Robots {
    /// For one who says `user_agent` of itself.
    pub fn new(user_agent: &str) -> Self {
        Self { token: product_token(user_agent).to_owned(), origins: LruCache::unbounded(), bytes: 0 }
    }

    /// Whether `target` of `origin` may be asked for at `now`.
    pub fn verdict(&mut self, origin: &Origin, target: &str, now: Nanos) -> Verdict {
        match self.origins.get(origin) {
            Some(Entry { state: State::Fetching, .. }) => Verdict::Wait,
            Some(Entry { state: State::Known(rules), until, .. }) if now < *until => {
                if rules.is_allowed(target) {
                    Verdict::Allowed
                } else {
                    Verdict::Disallowed
                }
            }
            Some(Entry { state: State::Unreachable(_), until, .. }) if now < *until => Verdict::Unreachable,
            _ => {
                self.keep(origin, State::Fetching, Nanos(u64::MAX));
                Verdict::Fetch
            }
        }
    }

    /// robots.txt of `origin` was answered, after redirects, with this status and the first [`ROBOTS_BYTES_MAX`] bytes of
    /// its body: rules where it is there; everything is allowed where it is not (section 2.3.1.3), as where redirects led
    /// nowhere; nothing where the server is in trouble (section 2.3.1.4).
    pub fn answered(&mut self, origin: &Origin, status: u16, body: &[u8], now: Nanos) {
        match status {
            200..=299 => {
                let rules = Rules::parse(&body[..body.len().min(ROBOTS_BYTES_MAX)], self.token.as_str());
                self.keep(origin, State::Known(rules), after(now, RULES_LAST));
            }
            300..=499 => self.keep(origin, State::Known(Rules::allow_all()), after(now, RULES_LAST)),
            _ => self.failed(origin, &format!("status {status}"), now),
        }
    }

    /// robots.txt of `origin` could not be had: why, without secrets.
    pub fn failed(&mut self, origin: &Origin, why: &str, now: Nanos) {
        self.keep(origin, State::Unreachable(why.into()), after(now, UNREACHABLE_LASTS));
    }

    /// Why robots.txt of `origin` could not be had; none where it could, or that is forgotten.
    pub fn why_unreachable(&self, origin: &Origin) -> Option<&str> {
        match self.origins.peek(origin) {
            Some(Entry { state: State::Unreachable(why), .. }) => Some(why),
            _ => None,
        }
    }

    /// The least time between two requests that its rules ask for (`Crawl-delay`, which RFC 9309 does not know); zero where
    /// they ask for none.
    pub fn delay(&self, origin: &Origin) -> Nanos {
        let Some(Entry { state: State::Known(rules), .. }) = self.origins.peek(origin) else { return Nanos::ZERO };
        let delay = rules.crawl_delay().unwrap_or_default().as_nanos();
        Nanos(u64::try_from(delay).unwrap_or(u64::MAX)).min(DELAY_MAX)
    }

    /// Remembers one origin; those not looked at for longest make room. A fetch that is forgotten is made again.
    fn keep(&mut self, origin: &Origin, state: State, until: Nanos) {
        let bytes = ENTRY_BYTES + weight(&state);
        let before = self.origins.put(origin.clone(), Entry { state, until, bytes });
        self.bytes = self.bytes + bytes - before.map_or(0, |entry| entry.bytes);
        while self.bytes > KEPT_BYTES_MAX {
            let Some((_, entry)) = self.origins.pop_lru() else { break };
            self.bytes -= entry.bytes;
        }
    }
}

/// What rules take, in bytes by estimate.
fn weight(state: &State) -> usize {
    let rules = match state {
        State::Known(rules) => rules,
        State::Unreachable(why) => return why.len(),
        State::Fetching => return 0,
    };
    let patterns: usize = rules.rules().iter().map(|rule| RULE_BYTES + rule.pattern().len()).sum();
    let sitemaps: usize = rules.sitemaps().iter().map(|url| SITEMAP_BYTES + url.as_str().len()).sum();
    patterns + sitemaps
}

fn after(now: Nanos, time: Nanos) -> Nanos {
    Nanos(now.0.saturating_add(time.0))
}

/// What robots.txt may call us by (section 2.2.1): the letters, `_` and `-` that `User-Agent` begins with.
pub fn product_token(user_agent: &str) -> &str {
    let end = user_agent.find(|c: char| !c.is_ascii_alphabetic() && c != '_' && c != '-');
    &user_agent[..end.unwrap_or(user_agent.len())]
}

/// Checks what must hold for every robots.txt: it is read without a panic, says the same each time, its own place is always
/// allowed, its delay is bounded, and what is kept of it is in proportion to it.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_robots(bytes: &[u8]) {
    let origin = crate::plan::origin::parse_site("http://h.example").expect("a site").origin;
    let mut robots = Robots::new("ringload/1.0");
    assert_eq!(robots.verdict(&origin, "/", Nanos::ZERO), Verdict::Fetch);
    assert_eq!(robots.verdict(&origin, "/", Nanos::ZERO), Verdict::Wait);
    robots.answered(&origin, 200, bytes, Nanos::ZERO);
    for target in ["/", "/a/b.html?c=d", "/%41%c3%bc", "*", "/$"] {
        let first = robots.verdict(&origin, target, Nanos::ZERO);
        assert!(matches!(first, Verdict::Allowed | Verdict::Disallowed));
        assert_eq!(robots.verdict(&origin, target, Nanos::ZERO), first);
    }
    assert_eq!(robots.verdict(&origin, ROBOTS_TARGET, Nanos::ZERO), Verdict::Allowed);
    assert!(robots.delay(&origin) <= DELAY_MAX);
    assert!(robots.bytes <= 1_000 + 64 * bytes.len(), "{} of {}", robots.bytes, bytes.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::origin::parse_site;

    fn origin(site: &str) -> Origin {
        parse_site(site).expect(site).origin
    }

    /// One who has read this robots.txt.
    fn reader(text: &str) -> (Robots, Origin) {
        let (mut robots, origin) = (Robots::new("ringload/0.1.0"), origin("http://h.example"));
        assert_eq!(robots.verdict(&origin, "/", Nanos::ZERO), Verdict::Fetch);
        robots.answered(&origin, 200, text.as_bytes(), Nanos::ZERO);
        (robots, origin)
    }

    fn allows(text: &str, target: &str) -> bool {
        let (mut robots, origin) = reader(text);
        robots.verdict(&origin, target, Nanos::ZERO) == Verdict::Allowed
    }

    #[test]
    fn the_longest_match_wins_and_allow_wins_a_tie() {
        let text =
            "User-agent: *\nDisallow: /private\nAllow: /private/open\nDisallow: /*.gif$\nDisallow: /tie\nAllow: /tie";
        for (target, allowed) in [
            ("/", true),
            ("/private", false),
            ("/privately", false),
            ("/private/open/x", true),
            ("/Private", true),
            ("/a/b.gif", false),
            ("/a/b.gif?x", true),
            ("/tie", true),
            ("/robots.txt", true),
        ] {
            assert_eq!(allows(text, target), allowed, "{target}");
        }
        assert!(allows("User-agent: *\nDisallow:", "/x"), "nothing is disallowed");
        assert!(!allows("User-agent: *\nDisallow: /%7Ejoe", "/~joe/x"), "escapes are compared decoded");
    }

    #[test]
    fn our_own_group_counts_alone() {
        let text = "User-agent: other\nUser-agent: RingLoad\nDisallow: /ours\n\nUser-agent: *\nDisallow: /\n";
        assert!(allows(text, "/x") && !allows(text, "/ours"));
        assert!(!allows("User-agent: ringload-image\nAllow: /\n\nUser-agent: *\nDisallow: /", "/x"));
        assert!(allows("User-agent: other\nDisallow: /", "/x"), "no group is for us");
    }

    #[test]
    fn the_token_is_what_the_user_agent_begins_with() {
        for (user_agent, token) in [
            ("ringload/0.1.0", "ringload"),
            ("My-Bot_x (+http://h)", "My-Bot_x"),
            ("Mozilla/5.0 (compatible)", "Mozilla"),
            ("/x", ""),
            ("", ""),
        ] {
            assert_eq!(product_token(user_agent), token);
        }
    }

    #[test]
    fn statuses_decide_as_the_rfc_says() {
        for (status, verdict) in [
            (200, Verdict::Disallowed),
            (204, Verdict::Disallowed),
            (301, Verdict::Allowed),
            (403, Verdict::Allowed),
            (404, Verdict::Allowed),
            (429, Verdict::Allowed),
            (500, Verdict::Unreachable),
            (503, Verdict::Unreachable),
        ] {
            let (mut robots, origin) = (Robots::new("ringload"), origin("http://h.example"));
            robots.answered(&origin, status, b"User-agent: *\nDisallow: /", Nanos::ZERO);
            assert_eq!(robots.verdict(&origin, "/x", Nanos::ZERO), verdict, "{status}");
            let why = (verdict == Verdict::Unreachable).then(|| format!("status {status}"));
            assert_eq!(robots.why_unreachable(&origin), why.as_deref());
        }
    }

    #[test]
    fn one_fetches_and_the_others_wait() {
        let (mut robots, one) = (Robots::new("ringload"), origin("http://h.example"));
        assert_eq!(robots.verdict(&one, "/a", Nanos::ZERO), Verdict::Fetch);
        assert_eq!(robots.verdict(&one, "/b", Nanos::ZERO), Verdict::Wait);
        assert_eq!(robots.verdict(&origin("https://h.example"), "/b", Nanos::ZERO), Verdict::Fetch);
        robots.failed(&one, "refused", Nanos::ZERO);
        assert_eq!(robots.why_unreachable(&one), Some("refused"));
        assert_eq!(robots.verdict(&one, "/b", Nanos::ZERO), Verdict::Unreachable);
        assert_eq!(robots.verdict(&one, "/b", UNREACHABLE_LASTS), Verdict::Fetch);
    }

    #[test]
    fn rules_are_read_anew_after_a_day() {
        let (mut robots, origin) = reader("User-agent: *\nDisallow: /x");
        assert_eq!(robots.verdict(&origin, "/x", Nanos(RULES_LAST.0 - 1)), Verdict::Disallowed);
        assert_eq!(robots.verdict(&origin, "/x", RULES_LAST), Verdict::Fetch);
    }

    #[test]
    fn the_crawl_delay_of_our_group_is_kept() {
        let delay = |text: &str| {
            let (robots, origin) = reader(text);
            robots.delay(&origin)
        };
        assert_eq!(delay("User-agent: *\nCrawl-delay: 1.5"), Nanos::from_millis(1_500));
        assert_eq!(delay("User-agent: *\nCrawl-delay: 9\n\nUser-agent: ringload\nDisallow: /x"), Nanos::ZERO);
        assert_eq!(delay("User-agent: *\nCrawl-delay: 1e18"), DELAY_MAX);
        for text in ["-1", "soon", "nan", "inf", ""] {
            assert_eq!(delay(&format!("User-agent: *\nCrawl-delay: {text}")), Nanos::ZERO, "{text}");
        }
        assert_eq!(Robots::new("x").delay(&origin("http://h")), Nanos::ZERO);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes() {
        let mut robots = Robots::new("ringload");
        let long: String = (0..40_000).map(|rule| format!("Allow:/{rule}\n")).collect();
        let text = format!("User-agent: *\n{long}");
        for host in 0..28 {
            robots.answered(&origin(&format!("http://h{host}.example")), 200, text.as_bytes(), Nanos::ZERO);
            assert!(robots.bytes <= KEPT_BYTES_MAX);
        }
        assert!(robots.origins.len() < 28);
        assert_eq!(robots.verdict(&origin("http://h27.example"), "/x", Nanos::ZERO), Verdict::Allowed);
        assert_eq!(robots.verdict(&origin("http://h0.example"), "/x", Nanos::ZERO), Verdict::Fetch);
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_files() {
        let corpus: [&[u8]; 5] = [
            b"User-agent: *\nDisallow: /private\nAllow: /private/open\nCrawl-delay: 2\n",
            b"\xef\xbb\xbfuser agent: ringload\r\ndisallow: /*.gif$ # no\r\nsitemap: http://h/s.xml\r\n",
            b"User-agent: a\nUser-agent: ringload\nDisallow: /%c3%bc**x*$\n",
            b"Disallow /\nCrawl-delay: 1e308\n",
            b"<html><body>Not found</body></html>",
        ];
        let telling: [&[u8]; 10] =
            [b"*", b"$", b"%", b":", b"\n", b"\r", b"\0", b"#", b"\xff", b"user-agent: ringload\n"];
        crate::mutation::run("robots", &corpus, &telling, 3_000, fuzz_robots);
    }
}
