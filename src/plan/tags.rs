//! Tags of lines: by which groups figures are wanted.
//!
//! Each group has histograms of its own on every core, so that their number is bounded; a line costs a byte.

/// The most different tags; each takes a histogram a core.
pub const TAGS_MAX: usize = 100;
/// The longest tag, in bytes.
const TAG_BYTES_MAX: usize = 100;
/// While lines come: the line has none.
const NONE: u8 = u8::MAX;

/// Which tag each line has; empty where none has one.
#[derive(Debug, Default)]
pub struct Tags {
    /// In the order in which they first appear; `None`, the last one, is of the lines without, where there are any.
    names: Vec<Option<Box<str>>>,
    of: Vec<u8>,
}

impl Tags {
    /// The line with this number has this tag; those skipped since the last one have none. An empty one is none.
    ///
    /// # Errors
    /// One too many, or too long.
    pub(super) fn push(&mut self, line: usize, tag: &str) -> Result<(), String> {
        if tag.is_empty() {
            return Ok(());
        }
        if tag.len() > TAG_BYTES_MAX {
            return Err(format!("has a tag of {} bytes; the limit is {TAG_BYTES_MAX}", tag.len()));
        }
        let known = self.names.iter().position(|name| name.as_deref() == Some(tag));
        let index = known.unwrap_or(self.names.len());
        if index == TAGS_MAX {
            return Err(format!("has one tag too many; there are figures for up to {TAGS_MAX}: use fewer, or none"));
        }
        if known.is_none() {
            self.names.push(Some(tag.into()));
        }
        self.of.resize(line, NONE);
        self.of.push(index as u8);
        Ok(())
    }

    /// There are so many lines.
    pub(super) fn finish(&mut self, lines: usize) {
        if self.names.is_empty() {
            return;
        }
        self.of.resize(lines, NONE);
        let without = self.names.len() as u8;
        let mut any = false;
        for tag in self.of.iter_mut().filter(|tag| **tag == NONE) {
            (*tag, any) = (without, true);
        }
        if any {
            self.names.push(None);
        }
        self.of.shrink_to_fit();
    }

    /// All groups of lines; `None` is those without a tag, where others have one.
    pub fn names(&self) -> &[Option<Box<str>>] {
        &self.names
    }

    /// The index of a line's group.
    pub fn of(&self, line: u64) -> Option<usize> {
        self.of.get(line as usize).map(|&index| usize::from(index))
    }

    /// Bytes of memory that lines take.
    pub(super) fn memory(&self) -> usize {
        self.of.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_a_tag_are_a_group_where_others_have_one() {
        let mut tags = Tags::default();
        tags.finish(3);
        assert!(tags.names().is_empty() && tags.of(0).is_none() && tags.memory() == 0);
        for (line, tag) in [(1, "a"), (2, ""), (3, "b"), (4, "a")] {
            tags.push(line, tag).expect("a tag");
        }
        tags.finish(6);
        let names: Vec<_> = tags.names().iter().map(Option::as_deref).collect();
        assert_eq!(names, [Some("a"), Some("b"), None]);
        assert_eq!((0..6).map(|line| tags.of(line)).collect::<Vec<_>>(), [2, 0, 2, 1, 0, 2].map(Some));
        let mut tags = Tags::default();
        tags.push(0, "a").expect("a tag");
        tags.finish(1);
        assert_eq!(tags.names().len(), 1);
    }

    #[test]
    fn there_are_so_many_tags_and_no_more() {
        let mut tags = Tags::default();
        for number in 0..TAGS_MAX {
            tags.push(number, &number.to_string()).expect("a tag");
        }
        tags.push(TAGS_MAX, "7").expect("a known one");
        assert!(tags.push(TAGS_MAX + 1, "new").expect_err("one more").contains("one tag too many"));
        assert!(tags.push(TAGS_MAX + 1, &"x".repeat(101)).expect_err("long").contains("101 bytes"));
    }
}
