//! A walk along a pointer through a JSON document: everything beside the way is checked and dropped as it is read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The text of the value that `tokens` lead to; where a key comes twice, the last one counts, as in a tree.
///
/// # Errors
/// The document is no JSON.
pub(super) fn find<'a>(body: &'a [u8], tokens: &[String]) -> serde_json::Result<Option<&'a RawValue>> {
    let mut document = serde_json::Deserializer::from_slice(body);
    let found = Walk(tokens).deserialize(&mut document)?;
    document.end()?;
    Ok(found)
}

/// From a value along these tokens.
#[derive(Clone, Copy)]
struct Walk<'t>(&'t [String]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return serde::Deserialize::deserialize(value).map(Some);
        }
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (token, rest) = self.0.split_first().expect("a walk without tokens visits nothing");
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(KeyIs(token))? {
            if is_it {
                found = map.next_value_seed(Walk(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let (token, rest) = self.0.split_first().expect("a walk without tokens visits nothing");
        // RFC 6901 section 4: digits without leading zeros.
        let plain = token == "0" || token.bytes().all(|byte| byte.is_ascii_digit()) && !token.starts_with('0');
        let wanted: Option<u64> = token.parse().ok().filter(|_| plain);
        let (mut found, mut index) = (None, 0u64);
        loop {
            if Some(index) == wanted {
                let Some(item) = items.next_element_seed(Walk(rest))? else { break };
                found = item;
            } else if items.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
            index += 1;
        }
        Ok(found)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether a key is this one.
struct KeyIs<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}
