//! Who may ask what: the rules that the table of routes names, and the one who asks. All decisions about rights of the
//! HTTP side are made here; texts are RabbitMQ's.
//! Source: RabbitMQ `rabbit_mgmt_util:is_authorized*`, compared with a running 3.10.8 for every route and every tag.

use super::answer::ApiError;
use crate::auth::{Access, Accounts};
use std::sync::Arc;

/// What a route asks of the one who calls it. Whoever has a tag of a line below has those above, too, except that
/// `policymaker` and `monitoring` do not contain each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing, not even a login.
    Anyone,
    /// One of the tags `management`, `policymaker`, `monitoring`, `administrator`.
    Management,
    /// `monitoring` or `administrator`.
    Monitor,
    /// `policymaker` or `administrator`.
    Policymaker,
    /// `administrator`.
    Admin,
    /// A tag, and a permission in the vhost of the path or the tag `administrator`. The vhost must exist: 404.
    Vhost,
    /// A tag, and a permission in the vhost of the path or the tag `monitoring` or `administrator`; 404 as above.
    VisibleVhost,
    /// A tag, and a permission in the vhost of the path, whatever the tag; 404 as above.
    VhostMember,
    /// `policymaker` with a permission in the vhost of the path, or `administrator`; 404 as above.
    PolicymakerOfVhost,
    /// `administrator`, and the vhost of the path exists.
    AdminOfVhost,
}

impl Rule {
    /// Its word in the description of the API.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Management => "management",
            Self::Monitor => "monitoring",
            Self::Policymaker => "policymaker",
            Self::Admin => "administrator",
            Self::Vhost => "vhost",
            Self::VisibleVhost => "visible-vhost",
            Self::VhostMember => "vhost-member",
            Self::PolicymakerOfVhost => "policymaker-of-vhost",
            Self::AdminOfVhost => "administrator-of-vhost",
        }
    }

    /// Whether it speaks of the vhost in the path.
    pub(super) fn wants_vhost(self) -> bool {
        match self {
            Self::Vhost
            | Self::VisibleVhost
            | Self::VhostMember
            | Self::PolicymakerOfVhost
            | Self::AdminOfVhost => true,
            Self::Anyone | Self::Management | Self::Monitor | Self::Policymaker | Self::Admin => false,
        }
    }

    /// Whether `caller` may; `vhost` is that of the path, which exists.
    pub(super) fn check(self, caller: &Caller, vhost: &str) -> Result<(), ApiError> {
        let refuse = |reason: &str| Err(ApiError::NotAuthorised(reason.to_owned()));
        if self != Self::Anyone && !caller.is_manager() {
            return refuse("Not management user");
        }
        let is_member = || caller.is_member(vhost);
        let (allowed, reason) = match self {
            Self::Anyone | Self::Management => (true, ""),
            Self::Monitor => (caller.is_monitor(), "Not monitor user"),
            Self::Policymaker => (caller.is_policymaker(), "User not authorised to access object"),
            Self::Admin | Self::AdminOfVhost => (caller.is_admin(), "Not administrator user"),
            Self::Vhost => (caller.is_admin() || is_member(), "User not authorised to access virtual host"),
            Self::VisibleVhost => {
                (caller.is_monitor() || is_member(), "User not authorised to access virtual host")
            }
            Self::VhostMember => (is_member(), "User not authorised to access virtual host"),
            Self::PolicymakerOfVhost => (
                caller.is_admin() || (caller.is_policymaker() && is_member()),
                "User not authorised to access object",
            ),
        };
        if allowed { Ok(()) } else { refuse(reason) }
    }
}

/// Who asks: a user, what it may do as of the request's beginning. Nobody for routes of [`Rule::Anyone`].
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Name; empty for nobody.
    pub(super) user: Arc<str>,
    accounts: Arc<Accounts>,
}

impl Caller {
    /// The user of this name, who logged in.
    pub(super) fn new(user: Arc<str>, accounts: Arc<Accounts>) -> Self {
        Self { user, accounts }
    }

    fn has_one_of(&self, tags: &[&str]) -> bool {
        tags.iter().any(|tag| self.accounts.has_tag(&self.user, tag))
    }

    /// Whether it may use the HTTP side at all.
    pub(super) fn is_manager(&self) -> bool {
        self.has_one_of(&["management", "policymaker", "monitoring", "administrator"])
    }

    /// Whether it sees connections of others, all vhosts, and nodes.
    pub(super) fn is_monitor(&self) -> bool {
        self.has_one_of(&["monitoring", "administrator"])
    }

    /// Whether it may set policies.
    pub(super) fn is_policymaker(&self) -> bool {
        self.has_one_of(&["policymaker", "administrator"])
    }

    /// Whether it may do everything an operator may.
    pub(super) fn is_admin(&self) -> bool {
        self.has_one_of(&["administrator"])
    }

    /// Whether it has permissions in the vhost.
    pub(super) fn is_member(&self, vhost: &str) -> bool {
        self.accounts.has_access(&self.user, vhost)
    }

    /// Whether lists show it what is in this vhost.
    pub(super) fn sees(&self, vhost: &str) -> bool {
        self.is_monitor() || self.is_member(vhost)
    }

    /// Whether lists show it what belongs to this user: connections, channels.
    pub(super) fn sees_user(&self, user: &str) -> bool {
        self.is_monitor() || *user == *self.user
    }

    /// Whether it may close this user's connections.
    pub(super) fn closes_for(&self, user: &str) -> bool {
        self.is_admin() || *user == *self.user
    }

    /// The same, to act with: also what a token allows.
    pub(super) fn rights(&self) -> Arc<Accounts> {
        Arc::clone(&self.accounts)
    }

    /// Users, permissions and limits as of the request's beginning.
    pub(super) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Whether it may do that with the queue or exchange (`amq.default` for the default exchange), as over AMQP.
    pub(super) fn check(&self, access: Access, vhost: &str, resource: &str) -> Result<(), ApiError> {
        if self.accounts.may(&self.user, vhost, access, resource) {
            return Ok(());
        }
        let user = &self.user;
        Err(ApiError::NotAuthorised(format!(
            "ACCESS_REFUSED - {} access to '{resource}' in vhost '{vhost}' refused for user '{user}'",
            access.name()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Hashing, PasswordHash};
    use crate::definitions::PermissionDefinition;

    /// A user with this tag, and with permissions in the vhost `v` or not.
    fn caller(tag: &str, is_member: bool) -> Caller {
        let mut accounts = Accounts::new(Vec::new(), Hashing::Sha256);
        let password = PasswordHash::new("secret", Hashing::Sha256, [7; 16]).unwrap();
        accounts.add_user("u", password).unwrap();
        accounts.set_tags("u", vec![tag.to_owned()]).unwrap();
        if is_member {
            let [user, vhost] = ["u", "v"].map(str::to_owned);
            let [configure, write, read] = [".*", ".*", ".*"].map(str::to_owned);
            accounts.set_permissions(PermissionDefinition { user, vhost, configure, write, read }).unwrap();
        }
        Caller::new("u".into(), Arc::new(accounts))
    }

    #[test]
    fn each_rule_lets_in_whom_rabbitmq_does() {
        // Tags none, management, policymaker, monitoring, administrator; first without permissions in the vhost, then with.
        for (rule, strangers, members) in [
            (Rule::Anyone, "yyyyy", "yyyyy"),
            (Rule::Management, "-yyyy", "-yyyy"),
            (Rule::Monitor, "---yy", "---yy"),
            (Rule::Policymaker, "--y-y", "--y-y"),
            (Rule::Admin, "----y", "----y"),
            (Rule::Vhost, "----y", "-yyyy"),
            (Rule::VisibleVhost, "---yy", "-yyyy"),
            (Rule::VhostMember, "-----", "-yyyy"),
            (Rule::PolicymakerOfVhost, "----y", "--y-y"),
            (Rule::AdminOfVhost, "----y", "----y"),
        ] {
            for (is_member, expected) in [(false, strangers), (true, members)] {
                let tags = ["other", "management", "policymaker", "monitoring", "administrator"];
                let allowed = tags.map(|tag| rule.check(&caller(tag, is_member), "v").is_ok());
                let shown: String = allowed.map(|allowed| if allowed { 'y' } else { '-' }).iter().collect();
                assert_eq!(shown, expected, "{rule:?}, member: {is_member}");
            }
        }
    }

    #[test]
    fn refusals_say_what_is_missing() {
        for (rule, tag, expected) in [
            (Rule::Management, "other", "Not management user"),
            (Rule::Monitor, "management", "Not monitor user"),
            (Rule::Admin, "monitoring", "Not administrator user"),
            (Rule::Vhost, "monitoring", "User not authorised to access virtual host"),
            (Rule::PolicymakerOfVhost, "policymaker", "User not authorised to access object"),
        ] {
            let refused = rule.check(&caller(tag, false), "v").unwrap_err();
            assert_eq!(refused, ApiError::NotAuthorised(expected.to_owned()));
        }
    }

    #[test]
    fn lists_show_monitors_all_and_others_their_own() {
        let (monitor, member) = (caller("monitoring", false), caller("management", true));
        assert!(monitor.sees("v") && monitor.sees("w") && monitor.sees_user("somebody"));
        assert!(member.sees("v") && !member.sees("w"));
        assert!(member.sees_user("u") && !member.sees_user("somebody"));
    }
}
