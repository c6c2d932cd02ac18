//! Commands of rabbitmqctl and its sisters that people's scripts hold and that mean nothing here. Each says why, so that
//! nobody believes it was done; what is harmless to leave out is accepted.

/// Why a command is not carried out; `None` if it is not one of these.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    Some(match name {
        "eval" | "eval_file" | "exec" | "remote_shell" | "observer" => {
            "there is no Erlang in this broker to run code in"
        }
        "erlang_version" => {
            "there is no Erlang in this broker; server_version and version tell of what there is"
        }
        "erlang_cookie_hash" | "erlang_cookie_sources" => {
            "there is no Erlang cookie: who may use the control socket is whom the data directory belongs to"
        }
        "maybe_stuck" | "runtime_thread_stats" | "schema_info" => {
            "there is no Erlang in this broker, and no processes or tables of it to look at"
        }
        "add_replica" | "delete_replica" => "there is one node: streams have no further members",
        "force_boot" | "force_reset" | "reset" => {
            "there is no cluster to leave; to begin anew, stop the broker and give it another data directory"
        }
        "join_cluster"
        | "forget_cluster_node"
        | "change_cluster_node_type"
        | "rename_cluster_node"
        | "update_cluster_nodes"
        | "await_online_nodes" => "there is one node: clusters are not supported",
        "stop_app" | "start_app" => {
            "the broker is one process: stop it with `stop`, start it with `ledgermq serve`"
        }
        "sync_queue" | "cancel_sync_queue" => "queues have no mirrors",
        "add_member" | "delete_member" | "grow" | "shrink" | "rebalance" | "transfer_leadership" => {
            "there is one node: queues have no further members"
        }
        "suspend_listeners" | "resume_listeners" | "drain" | "revive" => {
            "listeners cannot be suspended; `stop` ends the broker in order"
        }
        "encode" | "decode" | "list_ciphers" | "list_hashes" => {
            "the configuration holds no encrypted values: passwords can be given in the environment, or in a file that \
             only the broker may read"
        }
        "force_gc" | "hipe_compile" => "there is no Erlang in this broker, and nothing to collect or compile",
        "restart_vhost" => "a vhost does not stop by itself: what stops it stops the broker",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::commands::Command;
    use super::*;

    #[test]
    fn what_is_refused_says_why_and_is_no_command() {
        for name in ["erlang_version", "eval", "join_cluster", "add_replica", "maybe_stuck"] {
            assert!(reason(name).is_some() && Command::find(name).is_none(), "{name}");
        }
        assert_eq!(reason("list_queues"), None);
    }
}
