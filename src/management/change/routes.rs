//! The rows of the table of routes that change something.

use super::{
    accounts, bindings, broker, definitions, errands, exchanges, limits, messages, parameters, policies,
    queues, vhosts,
};
use crate::limits::{HTTP_DEFINITIONS_BYTES_MAX, HTTP_PUBLISH_BYTES_MAX};
use crate::management::access::Rule::{
    Admin, AdminOfVhost, Monitor, Policymaker, PolicymakerOfVhost, VhostMember,
};
use crate::management::table::{Route, delete, get, post, put};

/// Every route that changes something, and what else belongs to it.
pub(in crate::management) fn routes() -> Vec<Route> {
    [topology(), accounts(), settings(), whole()].into_iter().flatten().collect()
}

fn topology() -> Vec<Route> {
    vec![
        // Queues.
        put("/api/queues/{vhost}/{queue}", VhostMember, queues::declare, "Declares a queue"),
        delete("/api/queues/{vhost}/{queue}", VhostMember, queues::delete, "Deletes a queue"),
        delete(
            "/api/queues/{vhost}/{queue}/contents",
            VhostMember,
            queues::purge,
            "Removes its ready messages",
        ),
        get("/api/queues/{vhost}/{queue}/peek", VhostMember, errands::peek, "Its first messages, left alone"),
        post(
            "/api/queues/{vhost}/{queue}/move",
            VhostMember,
            errands::move_messages,
            "Moves its messages to another queue",
        ),
        post("/api/queues/{vhost}/{queue}/get", VhostMember, messages::get, "Gets messages from a queue"),
        post(
            "/api/queues/{vhost}/{queue}/actions",
            AdminOfVhost,
            queues::act,
            "Accepts `sync` and `cancel_sync`",
        ),
        // Exchanges.
        put("/api/exchanges/{vhost}/{exchange}", VhostMember, exchanges::declare, "Declares an exchange"),
        delete("/api/exchanges/{vhost}/{exchange}", VhostMember, exchanges::delete, "Deletes an exchange"),
        post(
            "/api/exchanges/{vhost}/{exchange}/publish",
            VhostMember,
            messages::publish,
            "Publishes a message",
        )
        .with_body(HTTP_PUBLISH_BYTES_MAX),
        // Bindings.
        post(
            "/api/bindings/{vhost}/e/{source}/q/{destination}",
            VhostMember,
            bindings::bind_queue,
            "Binds a queue to an exchange",
        ),
        post(
            "/api/bindings/{vhost}/e/{source}/e/{destination}",
            VhostMember,
            bindings::bind_exchange,
            "Binds an exchange to another",
        ),
        delete(
            "/api/bindings/{vhost}/e/{source}/q/{destination}/{props}",
            VhostMember,
            bindings::unbind_queue,
            "Removes a binding of a queue",
        ),
        delete(
            "/api/bindings/{vhost}/e/{source}/e/{destination}/{props}",
            VhostMember,
            bindings::unbind_exchange,
            "Removes a binding of an exchange",
        ),
    ]
}

fn accounts() -> Vec<Route> {
    vec![
        // Vhosts.
        put("/api/vhosts/{vhost}", Admin, vhosts::put, "Adds a vhost, or changes what is said of it"),
        delete("/api/vhosts/{vhost}", Admin, vhosts::delete, "Deletes a vhost with all it holds"),
        post(
            "/api/vhosts/{vhost}/deletion/protection",
            AdminOfVhost,
            vhosts::protect,
            "Refuses to delete a vhost until that is taken back",
        ),
        put(
            "/api/vhosts/{vhost}/deletion/protection",
            AdminOfVhost,
            vhosts::protect,
            "Refuses to delete a vhost until that is taken back",
        ),
        delete(
            "/api/vhosts/{vhost}/deletion/protection",
            AdminOfVhost,
            vhosts::unprotect,
            "Lets a vhost be deleted again",
        ),
        post("/api/vhosts/{vhost}/start/{node}", Admin, vhosts::start, "Does nothing: vhosts run"),
        // Users and their rights.
        put("/api/users/{user}", Admin, accounts::put_user, "Adds or changes a user"),
        delete("/api/users/{user}", Admin, accounts::delete_user, "Deletes a user"),
        post("/api/users/bulk-delete", Admin, accounts::delete_users, "Deletes several users, or none"),
        put("/api/permissions/{vhost}/{user}", Admin, accounts::set_permissions, "Sets what a user may do"),
        delete(
            "/api/permissions/{vhost}/{user}",
            Admin,
            accounts::clear_permissions,
            "Takes all rights in a vhost",
        ),
        put(
            "/api/topic-permissions/{vhost}/{user}",
            Admin,
            accounts::set_topic_permissions,
            "Sets which keys a user may use",
        ),
        delete(
            "/api/topic-permissions/{vhost}/{user}",
            Admin,
            accounts::clear_topic_permissions,
            "Lifts the restrictions of a user's keys",
        ),
        delete(
            "/api/topic-permissions/{vhost}/{user}/{exchange}",
            Admin,
            accounts::clear_topic_permissions,
            "Lifts those at one exchange",
        ),
    ]
}

fn settings() -> Vec<Route> {
    vec![
        // Policies.
        put("/api/policies/{vhost}/{policy}", PolicymakerOfVhost, policies::put, "Sets a policy"),
        delete("/api/policies/{vhost}/{policy}", PolicymakerOfVhost, policies::delete, "Removes a policy"),
        put(
            "/api/operator-policies/{vhost}/{policy}",
            AdminOfVhost,
            policies::put_operator,
            "Sets a policy of operators",
        ),
        delete(
            "/api/operator-policies/{vhost}/{policy}",
            AdminOfVhost,
            policies::delete_operator,
            "Removes a policy of operators",
        ),
        // Parameters.
        put(
            "/api/parameters/{component}/{vhost}/{parameter}",
            PolicymakerOfVhost,
            parameters::put,
            "Sets a parameter of a vhost",
        ),
        delete(
            "/api/parameters/{component}/{vhost}/{parameter}",
            PolicymakerOfVhost,
            parameters::delete,
            "Removes a parameter of a vhost",
        ),
        put(
            "/api/global-parameters/{parameter}",
            Policymaker,
            parameters::put_global,
            "Sets a global parameter",
        ),
        delete(
            "/api/global-parameters/{parameter}",
            Policymaker,
            parameters::delete_global,
            "Removes a global parameter",
        ),
        // Limits.
        put(
            "/api/vhost-limits/{vhost}/{limit}",
            AdminOfVhost,
            limits::put_of_vhost,
            "Sets a limit of a vhost",
        ),
        delete(
            "/api/vhost-limits/{vhost}/{limit}",
            AdminOfVhost,
            limits::delete_of_vhost,
            "Lifts a limit of a vhost",
        ),
        put("/api/user-limits/{user}/{limit}", Admin, limits::put_of_user, "Sets a limit of a user"),
        delete("/api/user-limits/{user}/{limit}", Admin, limits::delete_of_user, "Lifts a limit of a user"),
    ]
}

fn whole() -> Vec<Route> {
    vec![
        // Definitions.
        get("/api/definitions", Admin, definitions::export, "Everything that is defined, as a file"),
        post("/api/definitions", Admin, definitions::import, "Brings in a definitions file")
            .with_body(HTTP_DEFINITIONS_BYTES_MAX),
        get(
            "/api/definitions/{vhost}",
            AdminOfVhost,
            definitions::export_vhost,
            "The definitions of a vhost",
        ),
        post(
            "/api/definitions/{vhost}",
            AdminOfVhost,
            definitions::import_vhost,
            "Brings in a vhost's definitions",
        )
        .with_body(HTTP_DEFINITIONS_BYTES_MAX),
        // The broker as a whole.
        put("/api/cluster-name", Admin, broker::name_cluster, "Names the cluster"),
        put(
            "/api/feature-flags/{flag}/enable",
            Admin,
            broker::enable_flag,
            "Does nothing: every feature is on",
        ),
        post("/api/rebalance/queues", Admin, broker::rebalance, "Does nothing: there is one node"),
        get("/api/auth/hash_password/{password}", Admin, broker::hash_password, "The hash of a password"),
        get("/api/auth/attempts/{node}", Monitor, broker::attempts, "Logins that were tried"),
        delete(
            "/api/auth/attempts/{node}",
            Monitor,
            broker::forget_attempts,
            "Counts them from nothing again",
        ),
    ]
}
