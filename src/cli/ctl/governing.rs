//! The commands that say something about many objects at once: policies, parameters, limits, and what is said of vhosts.
//! Names, order of arguments and texts are those of rabbitmqctl 3.10, and of 4.1 where 3.10 has none.

use super::arguments::Options;
use super::commands::{Command, Shape, fixed, plain};
use crate::cli::control::{ControlRequest, VhostMetadata};
use crate::cli::rows;

const POLICY_USAGE: &str =
    "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>";

/// Commands, in the order of the help.
pub(super) static COMMANDS: [Command; 18] = [
    plain("set_policy", POLICY_USAGE, 3, "Sets or updates a policy"),
    plain("clear_policy", "[--vhost <vhost>] <name>", 1, "Removes a policy"),
    fixed("list_policies", "[--vhost <vhost>]", 0, rows::POLICY_COLUMNS, "Lists the policies of a vhost"),
    plain(
        "set_operator_policy",
        POLICY_USAGE,
        3,
        "Sets or updates an operator policy, which limits what policies and arguments ask for",
    ),
    plain("clear_operator_policy", "[--vhost <vhost>] <name>", 1, "Removes an operator policy"),
    fixed(
        "list_operator_policies",
        "[--vhost <vhost>]",
        0,
        rows::POLICY_COLUMNS,
        "Lists the operator policies of a vhost",
    ),
    plain(
        "set_parameter",
        "[--vhost <vhost>] <component_name> <name> <value>",
        3,
        "Sets a runtime parameter",
    ),
    plain("clear_parameter", "[--vhost <vhost>] <component_name> <name>", 2, "Removes a runtime parameter"),
    fixed(
        "list_parameters",
        "[--vhost <vhost>]",
        0,
        &["component", "name", "value"],
        "Lists the runtime parameters of a vhost",
    ),
    plain(
        "set_vhost_limits",
        "[--vhost <vhost>] <definition>",
        1,
        "Sets how many connections and queues a vhost may have",
    ),
    plain("clear_vhost_limits", "[--vhost <vhost>]", 0, "Removes the limits of a vhost"),
    fixed(
        "list_vhost_limits",
        "[--vhost <vhost>] [--global]",
        0,
        &["vhost", "limits"],
        "Shows the limits of a vhost, or of all",
    ),
    plain(
        "set_user_limits",
        "<username> <definition>",
        2,
        "Sets how many connections and channels a user may have",
    ),
    plain("clear_user_limits", "<username> <limit_type> | all", 2, "Removes limits of a user"),
    fixed(
        "list_user_limits",
        "[--user <username>] [--global]",
        0,
        &["user", "limits"],
        "Shows the limits of a user, or of all",
    ),
    Command {
        name: "update_vhost_metadata",
        usage: "<vhost> [--description <description>] [--tags <tag,...>] [--default-queue-type <type>]",
        help: "Changes what is said of a vhost",
        least: 1,
        most: 1,
        shape: Shape::Plain,
    },
    plain(
        "enable_vhost_protection_from_deletion",
        "<vhost>",
        1,
        "Refuses to delete a vhost until that is taken back",
    ),
    plain("disable_vhost_protection_from_deletion", "<vhost>", 1, "Lets a vhost be deleted again"),
];

/// What is printed before it runs; `None` if it is none of these.
pub(super) fn banner(name: &str, arguments: &[String], options: &Options) -> Option<String> {
    let vhost = &options.vhost;
    let argument = |position: usize| arguments.get(position).map_or("", String::as_str);
    let set = |what: &str| {
        let (name, pattern, definition, priority) = (argument(0), argument(1), argument(2), options.priority);
        format!(
            "Setting {what} \"{name}\" for pattern \"{pattern}\" to \"{definition}\" with priority \"{priority}\" \
             for vhost \"{vhost}\" ..."
        )
    };
    Some(match name {
        "set_policy" => set("policy"),
        "clear_policy" => format!("Clearing policy \"{}\" on vhost \"{vhost}\" ...", argument(0)),
        "list_policies" => format!("Listing policies for vhost \"{vhost}\" ..."),
        "set_operator_policy" => set("operator policy override"),
        "clear_operator_policy" => {
            format!("Clearing operator policy \"{}\" on vhost \"{vhost}\" ...", argument(0))
        }
        "list_operator_policies" => format!("Listing operator policy overrides for vhost \"{vhost}\" ..."),
        "set_parameter" => format!(
            "Setting runtime parameter \"{}\" for component \"{}\" to \"{}\" in vhost \"{vhost}\" ...",
            argument(1),
            argument(0),
            argument(2)
        ),
        "clear_parameter" => format!(
            "Clearing runtime parameter \"{}\" for component \"{}\" on vhost \"{vhost}\" ...",
            argument(1),
            argument(0)
        ),
        "list_parameters" => format!("Listing runtime parameters for vhost \"{vhost}\" ..."),
        "set_vhost_limits" => {
            format!("Setting vhost limits to \"{}\" for vhost \"{vhost}\" ...", argument(0))
        }
        "clear_vhost_limits" => format!("Clearing vhost \"{vhost}\" limits ..."),
        "list_vhost_limits" if options.global => "Listing limits for all vhosts ...".to_owned(),
        "list_vhost_limits" => format!("Listing limits for vhost \"{vhost}\" ..."),
        "set_user_limits" => {
            format!("Setting user limits to \"{}\" for user \"{}\" ...", argument(1), argument(0))
        }
        "clear_user_limits" if argument(1) == "all" => {
            format!("Clearing all limits for user \"{}\" ...", argument(0))
        }
        "clear_user_limits" => {
            format!("Clearing \"{}\" limit for user \"{}\" ...", argument(1), argument(0))
        }
        "list_user_limits" if options.global => "Listing limits for all users ...".to_owned(),
        "list_user_limits" => format!("Listing limits for user \"{}\" ...", options.user),
        "update_vhost_metadata" => format!("Updating metadata of vhost \"{}\" ...", argument(0)),
        "enable_vhost_protection_from_deletion" => {
            format!("Protecting virtual host \"{}\" from removal...", argument(0))
        }
        "disable_vhost_protection_from_deletion" => {
            format!("Removing deletion protection from virtual host \"{}\"...", argument(0))
        }
        _ => return None,
    })
}

/// The request it becomes; `None` if it is none of these.
pub(super) fn request(name: &str, arguments: &[String], options: &Options) -> Option<ControlRequest> {
    let vhost = options.vhost.clone();
    let argument = |position: usize| arguments.get(position).cloned().unwrap_or_default();
    let operator = name.contains("operator");
    Some(match name {
        "set_policy" | "set_operator_policy" => ControlRequest::SetPolicy {
            vhost,
            operator,
            name: argument(0),
            pattern: argument(1),
            definition: argument(2),
            priority: options.priority,
            apply_to: options.apply_to.clone(),
        },
        "clear_policy" | "clear_operator_policy" => {
            ControlRequest::ClearPolicy { vhost, operator, name: argument(0) }
        }
        "list_policies" | "list_operator_policies" => ControlRequest::ListPolicies { vhost, operator },
        "set_parameter" => ControlRequest::SetParameter {
            vhost,
            component: argument(0),
            name: argument(1),
            value: argument(2),
        },
        "clear_parameter" => {
            ControlRequest::ClearParameter { vhost, component: argument(0), name: argument(1) }
        }
        "list_parameters" => ControlRequest::ListParameters { vhost },
        "set_vhost_limits" => ControlRequest::SetVhostLimits { vhost, definition: argument(0) },
        "clear_vhost_limits" => ControlRequest::ClearVhostLimits { vhost },
        "list_vhost_limits" => ControlRequest::ListVhostLimits { vhost: (!options.global).then_some(vhost) },
        "set_user_limits" => ControlRequest::SetUserLimits { user: argument(0), definition: argument(1) },
        "clear_user_limits" => ControlRequest::ClearUserLimits { user: argument(0), limit: argument(1) },
        "list_user_limits" => {
            ControlRequest::ListUserLimits { user: (!options.global).then(|| options.user.clone()) }
        }
        "update_vhost_metadata" => {
            ControlRequest::UpdateVhostMetadata { vhost: argument(0), metadata: metadata(options) }
        }
        "enable_vhost_protection_from_deletion" => {
            ControlRequest::ProtectVhost { vhost: argument(0), on: true }
        }
        "disable_vhost_protection_from_deletion" => {
            ControlRequest::ProtectVhost { vhost: argument(0), on: false }
        }
        _ => return None,
    })
}

/// What the options say of a vhost.
pub(super) fn metadata(options: &Options) -> VhostMetadata {
    let tags = options
        .tags
        .as_ref()
        .map(|tags| tags.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect());
    VhostMetadata {
        description: options.description.clone(),
        tags,
        default_queue_type: options.default_queue_type.clone(),
    }
}
