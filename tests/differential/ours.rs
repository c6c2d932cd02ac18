//! Our broker as a partner in a conversation: the whole of it in memory, every step run to its end.

use crate::conversation::{Conversation, Heard, Names, Step};
use crate::support::broker::Broker;
use crate::support::wire;
use crate::users;

/// The broker and what it has said.
pub(crate) struct Ours {
    broker: Broker,
    clients: Vec<String>,
    names: Names,
    pub(crate) heard: Heard,
    steps: usize,
}

impl Ours {
    pub(crate) fn new() -> Self {
        let mut broker = Broker::default();
        broker.change_accounts(|accounts| {
            for permission in users::permissions() {
                let user = permission.user.clone();
                accounts.add_user(&user, &user, Default::default()).expect("a new user");
                accounts.set_permissions(permission).expect("permissions");
            }
        });
        Self { broker, clients: Vec::new(), names: Names::default(), heard: Heard::default(), steps: 0 }
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
        let at = self.steps;
        self.steps += 1;
        if !matches!(step, Step::Connect { .. } | Step::Accept { .. } | Step::Wait { .. })
            && !self.clients.contains(&step.client().to_owned())
        {
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
            Step::Wait { .. } => {}
        }
        self.listen(at)
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
