//! The commands about parameters of the broker as a whole, of which one names the installation. Names and texts are those of
//! rabbitmqctl 3.10.

use super::commands::{Command, Shape, fixed, plain};
use crate::cli::control::{ControlRequest, VhostMetadata};
use serde_json::Value;

/// Commands, in the order of the help.
pub(super) static COMMANDS: [Command; 5] = [
    plain("set_cluster_name", "<name>", 1, "Names this installation, for tools and dashboards"),
    plain("set_global_parameter", "<name> <value>", 2, "Sets a parameter of the broker as a whole"),
    plain("clear_global_parameter", "<name>", 1, "Removes a parameter of the broker as a whole"),
    fixed(
        "list_global_parameters",
        "",
        0,
        &["name", "value"],
        "Lists the parameters of the broker as a whole",
    ),
    Command {
        name: "set_vhost_tags",
        usage: "<vhost> <tag> [...]",
        help: "Replaces the tags of a vhost",
        least: 1,
        most: usize::MAX,
        shape: Shape::Plain,
    },
];

/// The parameter that is the name of the installation.
const CLUSTER_NAME: &str = "cluster_name";

/// What is printed before it runs; `None` if it is none of these.
pub(super) fn banner(name: &str, arguments: &[String]) -> Option<String> {
    let argument = |position: usize| arguments.get(position).map_or("", String::as_str);
    Some(match name {
        "set_cluster_name" => format!("Setting cluster name to {} ...", argument(0)),
        "set_global_parameter" => {
            format!("Setting global runtime parameter \"{}\" to \"{}\" ...", argument(0), argument(1))
        }
        "clear_global_parameter" => format!("Clearing global runtime parameter \"{}\" ...", argument(0)),
        "list_global_parameters" => "Listing global runtime parameters ...".to_owned(),
        "set_vhost_tags" => {
            let tags = arguments.get(1..).unwrap_or_default().join(", ");
            format!("Setting tags for vhost \"{}\" to [{tags}] ...", argument(0))
        }
        _ => return None,
    })
}

/// The request it becomes; `None` if it is none of these.
pub(super) fn request(name: &str, arguments: &[String]) -> Option<ControlRequest> {
    let argument = |position: usize| arguments.get(position).cloned().unwrap_or_default();
    Some(match name {
        "set_cluster_name" => ControlRequest::SetGlobalParameter {
            name: CLUSTER_NAME.to_owned(),
            value: Value::String(argument(0)).to_string(),
        },
        "set_global_parameter" => {
            ControlRequest::SetGlobalParameter { name: argument(0), value: argument(1) }
        }
        "clear_global_parameter" => ControlRequest::ClearGlobalParameter { name: argument(0) },
        "list_global_parameters" => ControlRequest::ListGlobalParameters,
        "set_vhost_tags" => ControlRequest::UpdateVhostMetadata {
            vhost: argument(0),
            metadata: VhostMetadata {
                tags: Some(arguments.get(1..).unwrap_or_default().to_vec()),
                ..VhostMetadata::default()
            },
        },
        _ => return None,
    })
}
