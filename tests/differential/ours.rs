//! Our broker as a partner in a conversation: the whole of it in memory, every step run to its end.

use std::collections::BTreeMap;

use ledgermq::vhost::PolicyLayer;
use ledgermq::vhost::input::{AdminCommand, AdminReply};
use ledgermq::vhost::report::QueueReport;

use crate::conversation::{Conversation, Heard, Names, OPERATOR, QUEUES, Step, queues_line};
use crate::support::broker::Broker;
use crate::support::machine::hash;
use crate::support::wire;
use crate::users;

/// The broker and what it has said.
pub(crate) struct Ours {
    broker: Broker,
    clients: Vec<String>,
    names: Names,
    pub(crate) heard: Heard,
    /// What was said to it so far.
    so_far: Conversation,
}

impl Ours {
    pub(crate) fn new() -> Self {
        let mut broker = Broker::default();
        broker.change_accounts(|accounts| {
            for permission in users::permissions() {
                let user = permission.user.clone();
                accounts.add_user(&user, hash(&user)).expect("a new user");
                accounts.set_permissions(permission).expect("permissions");
            }
            for permission in users::topic_permissions() {
                accounts.set_topic_permissions(permission).expect("topic permissions");
            }
        });
        // No clock shows 0.
        broker.pass(1_000_000);
        Self {
            broker,
            clients: Vec::new(),
            names: Names::default(),
            heard: Heard::default(),
            so_far: Conversation { title: String::new(), steps: Vec::new() },
        }
    }

    /// Holds a whole conversation.
    pub(crate) fn hold(conversation: &Conversation) -> Heard {
        let mut ours = Self::new();
        for step in &conversation.steps {
            ours.take(step);
        }
        ours.heard
    }

    /// Takes one step to its end. Returns what was said to each client, as (client, channel, text).
    pub(crate) fn take(&mut self, step: &Step) -> Vec<(String, u16, String)> {
        let at = self.so_far.steps.len();
        self.so_far.steps.push(step.clone());
        let acts = match step {
            Step::Method { client, .. } | Step::Raw { client, .. } | Step::Break { client } => {
                self.clients.contains(client)
            }
            _ => true,
        };
        if !acts {
            return Vec::new();
        }
        match step {
            Step::Connect { client, user, properties } => {
                self.broker.connect(client, user, properties.as_deref());
                self.clients.push(client.clone());
            }
            Step::Accept { client } => {
                self.broker.accept(client);
                self.clients.push(client.clone());
            }
            Step::Method { client, channel, text } => {
                let text = self.names.show(text);
                self.broker.send_bytes(client, &wire::encode(*channel, &text));
            }
            Step::Raw { client, bytes } => self.broker.send_bytes(client, bytes),
            Step::Break { client } => {
                self.broker.break_socket(client);
                self.clients.retain(|other| other != client);
            }
            Step::Wait { ms } => self.broker.pass(*ms),
            Step::Policy(policy) => self.order(AdminCommand::SetPolicy(PolicyLayer::User, policy.clone())),
            Step::NoPolicy { name } => {
                self.order(AdminCommand::ClearPolicy(PolicyLayer::User, name.as_str().into()));
            }
        }
        let said = self.listen(at);
        if step.shows_queues() {
            self.look_at_queues(at);
        }
        said
    }

    fn order(&mut self, command: AdminCommand) {
        let at = self.so_far.steps.len() - 1;
        let answer = match self.broker.admin(command) {
            AdminReply::Refused(why) => format!("refused: {}", why.trim()),
            _ => "done".to_owned(),
        };
        self.heard.note(&(OPERATOR.to_owned(), 0), at, answer);
    }

    fn look_at_queues(&mut self, at: usize) {
        let report = self.broker.report();
        let by_name: BTreeMap<&[u8], &QueueReport> =
            report.queues.iter().map(|queue| (queue.name.as_bytes(), queue)).collect();
        let mut names: Vec<(Vec<u8>, Vec<u8>)> =
            self.so_far.queues().into_iter().map(|name| (name.clone(), name)).collect();
        let generated = self.names.queues();
        names.extend(generated.map(|(label, name)| (label.into_bytes(), name.clone().into_bytes())));
        let found = names.iter().map(|(label, name)| {
            let found = match by_name.get(name.as_slice()) {
                None => "none".to_owned(),
                Some(queue) if queue.exclusive => "locked".to_owned(),
                Some(_) if self.so_far.shows_only_presence(name) => "there".to_owned(),
                Some(queue) => queue.messages_ready.to_string(),
            };
            (label.as_slice(), found)
        });
        let line = queues_line(found);
        self.heard.note(&(QUEUES.to_owned(), 0), at, line);
    }

    fn listen(&mut self, at: usize) -> Vec<(String, u16, String)> {
        let mut said = Vec::new();
        for client in self.clients.clone() {
            for (channel, text) in self.broker.heard(&client) {
                let text = self.names.hide(&text);
                self.heard.note(&(client.clone(), channel), at, text.clone());
                said.push((client.clone(), channel, text));
            }
            if self.broker.has_closed(&client) && !self.heard.ended(&client) {
                self.heard.closed.insert(client, at);
            }
        }
        self.clients.retain(|client| !self.broker.has_closed(client));
        said
    }
}
