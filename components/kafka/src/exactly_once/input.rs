//! What a transformation is given.

use std::fmt;
use std::slice;

use crate::consumer::Message;

/// The messages of one transaction, in order within each partition; at least one.
///
/// Unlike a [`Batch`](crate::Batch) it cannot be committed by hand: the transaction does that.
pub struct Input {
    messages: Vec<Message>,
}

impl Input {
    pub(crate) fn new(messages: Vec<Message>) -> Input {
        Input { messages }
    }

    /// The messages.
    pub fn iter(&self) -> slice::Iter<'_, Message> {
        self.messages.iter()
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none; never so for what a transformation is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

impl<'input> IntoIterator for &'input Input {
    type Item = &'input Message;
    type IntoIter = slice::Iter<'input, Message>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("messages", &self.len()).finish_non_exhaustive()
    }
}
