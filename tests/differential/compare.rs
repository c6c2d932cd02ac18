//! Two brokers' answers side by side: the first thing they say differently, and whether it was agreed on.

use std::fmt;

use crate::accepted;
use crate::conversation::{Conversation, Heard, Line, Place};

/// The first difference of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// The position of the step after which it was heard.
    pub(crate) step: usize,
    pub(crate) place: Place,
    /// What ours said; empty if nothing.
    pub(crate) ours: String,
    /// What RabbitMQ said; empty if nothing.
    pub(crate) theirs: String,
}

impl Difference {
    /// What both said, without numbers, names and content: differences alike in this have one cause.
    pub(crate) fn kind(&self) -> String {
        let plain = |text: &str| {
            let head = text.split(" properties=").next().unwrap_or_default();
            let head = head.split(" body=").next().unwrap_or_default();
            let mut quoted = false;
            let keep = |c: &char| {
                quoted ^= *c == '\'';
                *c == '\'' || !quoted && !c.is_ascii_digit()
            };
            let name = head.split("reply-text=").nth(1).map_or(head.split(' ').next(), Some);
            name.unwrap_or_default().chars().filter(keep).collect::<String>()
        };
        format!("RabbitMQ: {} / ours: {}", plain(&self.theirs), plain(&self.ours))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, place: (client, channel), ours, theirs } = self;
        let said = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
        writeln!(f, "at step {step}, on channel {channel} of {client}:")?;
        writeln!(f, "  RabbitMQ says {}", said(theirs))?;
        writeln!(f, "  ours says     {}", said(ours))
    }
}

/// How a conversation went.
#[derive(Debug)]
pub(crate) enum Verdict {
    Same,
    /// The first difference is one that was agreed on, for this reason; behind it nothing was compared.
    Accepted(&'static str),
    Different(Difference),
}

/// Compares what was heard.
pub(crate) fn compare(conversation: &Conversation, ours: &Heard, theirs: &Heard) -> Verdict {
    let mut differences = differences(ours, theirs);
    differences.sort_by_key(|difference| difference.step);
    let Some(first) = differences.first() else { return Verdict::Same };
    // Several things said differently after one step: the first that was agreed on speaks for all of them.
    for difference in differences.iter().filter(|other| other.step == first.step) {
        if let Some(reason) = accepted::reason(conversation, difference, ours) {
            return Verdict::Accepted(reason);
        }
    }
    Verdict::Different(first.clone())
}

fn differences(ours: &Heard, theirs: &Heard) -> Vec<Difference> {
    let mut found = Vec::new();
    let nothing = Vec::new();
    for place in ours.lines.keys().chain(theirs.lines.keys()) {
        let left = ours.lines.get(place).unwrap_or(&nothing);
        let right = theirs.lines.get(place).unwrap_or(&nothing);
        found.extend(first_in_stream(place, left, right));
    }
    let none = Default::default();
    for place in ours.confirms.keys().chain(theirs.confirms.keys()) {
        let left = ours.confirms.get(place).unwrap_or(&none);
        let right = theirs.confirms.get(place).unwrap_or(&none);
        let differing = left.keys().chain(right.keys()).find(|number| {
            left.get(number).map(|(acked, _)| acked) != right.get(number).map(|(acked, _)| acked)
        });
        if let Some(number) = differing {
            let said = |confirm: Option<&(bool, usize)>| {
                confirm.map_or_else(String::new, |(acked, _)| format!("confirm {number} {acked}"))
            };
            let step = left.get(number).or(right.get(number)).map_or(0, |(_, step)| *step);
            let (ours, theirs) = (said(left.get(number)), said(right.get(number)));
            found.push(Difference { step, place: place.clone(), ours, theirs });
        }
    }
    for client in ours.closed.keys().chain(theirs.closed.keys()) {
        if ours.ended(client) != theirs.ended(client) {
            let step = ours.closed.get(client).or(theirs.closed.get(client)).copied().unwrap_or_default();
            let said = |heard: &Heard| if heard.ended(client) { "the end".to_owned() } else { String::new() };
            let (ours, theirs) = (said(ours), said(theirs));
            found.push(Difference { step, place: (client.clone(), 0), ours, theirs });
        }
    }
    found
}

fn first_in_stream(place: &Place, ours: &[Line], theirs: &[Line]) -> Option<Difference> {
    let mut pairs = (0..ours.len().max(theirs.len())).map(|at| (ours.get(at), theirs.get(at)));
    let (left, right) = pairs.find(|(left, right)| {
        let same = |left: &Line, right: &Line| accepted::same_words(&left.text, &right.text);
        left.zip(*right).is_none_or(|(left, right)| !same(left, right))
    })?;
    let step = left.into_iter().chain(right).map(|line| line.step).min().unwrap_or_default();
    // What was said after a later step was not said after this one.
    let now = |line: Option<&Line>| line.filter(|line| line.step == step).map(|line| line.text.clone());
    let text = |line| now(line).unwrap_or_default();
    Some(Difference { step, place: place.clone(), ours: text(left), theirs: text(right) })
}

/// The conversation with what both said, up to the step of the difference and a little behind it.
pub(crate) fn transcript(conversation: &Conversation, until: usize, ours: &Heard, theirs: &Heard) -> String {
    let mut out = format!("# {}\n", conversation.title);
    for (at, step) in conversation.steps.iter().enumerate().take(until + 1) {
        out.push_str(&format!("{step}\n"));
        let said = |heard: &Heard| -> Vec<String> {
            let lines = heard.lines.iter().flat_map(|((client, channel), lines)| {
                let here = lines.iter().filter(move |line| line.step == at);
                here.map(move |line| format!("{client} {channel} < {}", line.text))
            });
            lines.collect()
        };
        let (ours, theirs) = (said(ours), said(theirs));
        if ours == theirs {
            ours.iter().for_each(|line| out.push_str(&format!("    {line}\n")));
        } else {
            theirs.iter().for_each(|line| out.push_str(&format!("  R {line}\n")));
            ours.iter().for_each(|line| out.push_str(&format!("  L {line}\n")));
        }
    }
    out
}
