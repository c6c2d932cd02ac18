//! Logins, rights, and what is handed out to be persisted.

use super::*;

fn hash(password: &str) -> PasswordHash {
    PasswordHash::new(password, Hashing::Sha256, [7; 16]).unwrap()
}

fn fresh() -> Accounts {
    let mut accounts = Accounts::new(vec!["guest".to_owned()], Hashing::Sha256);
    assert_eq!(accounts.restore(Accounts::fresh("guest", "/", &hash("guest")).iter()), Vec::<String>::new());
    accounts
}

fn permit(
    accounts: &mut Accounts,
    user: &str,
    vhost: &str,
    patterns: [&str; 3],
) -> Result<(), AccountsError> {
    let [configure, write, read] = patterns.map(str::to_owned);
    let (user, vhost) = (user.to_owned(), vhost.to_owned());
    let changes = accounts.set_permissions(PermissionDefinition { user, vhost, configure, write, read })?;
    assert_eq!(changes.len(), 1);
    Ok(())
}

#[test]
fn a_fresh_store_knows_guest_who_may_do_everything_in_the_root_vhost() {
    let accounts = fresh();
    assert_eq!(accounts.login("guest", b"guest", true), Ok(()));
    assert!(accounts.has_tag("guest", "administrator") && !accounts.has_tag("guest", "impersonator"));
    assert!(accounts.has_access("guest", "/") && !accounts.has_access("guest", "other"));
    for access in [Access::Configure, Access::Write, Access::Read] {
        assert!(accounts.may("guest", "/", access, "anything"));
        assert!(!accounts.may("guest", "other", access, "anything"));
        assert!(!accounts.may("nobody", "/", access, "anything"));
    }
}

#[test]
fn wrong_logins_are_refused() {
    let accounts = fresh();
    for (user, password, local, expected) in [
        ("guest", "guest", false, LoginRefused::LoopbackOnly),
        ("guest", "Guest", true, LoginRefused::InvalidCredentials),
        ("guest", "Guest", false, LoginRefused::InvalidCredentials),
        ("guest", "", true, LoginRefused::InvalidCredentials),
        ("nobody", "guest", true, LoginRefused::InvalidCredentials),
        ("", "", true, LoginRefused::InvalidCredentials),
        ("guest\0", "guest", true, LoginRefused::InvalidCredentials),
    ] {
        assert_eq!(accounts.login(user, password.as_bytes(), local), Err(expected), "{user:?} {password:?}");
    }
    assert_eq!(
        LoginRefused::LoopbackOnly.reason("guest\n"),
        "user 'guest\\n' can only connect via localhost",
        "no line of the log is made up by a client"
    );
}

/// Behaviours S-30 to S-32: a user is added, given rights, and logs in.
#[test]
fn a_user_that_was_added_logs_in() {
    let mut accounts = fresh();
    assert_eq!(accounts.add_user("alert_user", hash("alertme")).unwrap().len(), 1);
    assert_eq!(accounts.login("alert_user", b"alertme", false), Ok(()));
    assert!(!accounts.has_access("alert_user", "/"));
    permit(&mut accounts, "alert_user", "/", [".*", "^alerts$", ""]).unwrap();
    assert!(accounts.may("alert_user", "/", Access::Configure, "critical"));
    assert!(accounts.may("alert_user", "/", Access::Write, "alerts"));
    assert!(!accounts.may("alert_user", "/", Access::Write, "alerts2"));
    assert!(!accounts.may("alert_user", "/", Access::Read, "critical"));
    accounts.change_password("alert_user", hash("other")).unwrap();
    assert!(accounts.login("alert_user", b"alertme", true).is_err());
    assert_eq!(accounts.login("alert_user", b"other", true), Ok(()));
    assert_eq!(accounts.clear_permissions("alert_user", "/").unwrap().len(), 1);
    assert_eq!(accounts.clear_permissions("alert_user", "/").unwrap().len(), 0);
    assert!(!accounts.has_access("alert_user", "/"));
}

#[test]
fn refusals_are_in_rabbitmqctls_words() {
    let mut accounts = fresh();
    for (result, expected) in [
        (accounts.add_user("guest", hash("x")), "User \"guest\" already exists"),
        (accounts.add_user("", hash("x")), "a name must have 1 to 255 bytes and no control characters"),
        (accounts.add_user("a\nb", hash("x")), "a name must have 1 to 255 bytes and no control characters"),
        (
            accounts.add_user(&"n".repeat(256), hash("x")),
            "a name must have 1 to 255 bytes and no control characters",
        ),
        (accounts.delete_user("nobody"), "User \"nobody\" does not exist"),
        (accounts.change_password("nobody", hash("x")), "User \"nobody\" does not exist"),
        (accounts.set_tags("nobody", vec![]), "User \"nobody\" does not exist"),
        (accounts.clear_permissions("nobody", "/"), "User \"nobody\" does not exist"),
    ] {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
    let error = permit(&mut accounts, "guest", "/", ["(", "", ""]).unwrap_err().to_string();
    assert!(error.starts_with("regular expression '(' is invalid: "), "{error}");
    assert!(accounts.may("guest", "/", Access::Read, "q"), "the old permission still stands");
    assert!(accounts.login("guest", b"guest", true).is_ok(), "the old password still stands");
    assert_eq!(permit(&mut accounts, "nobody", "/", ["", "", ""]), Err(no_such_user("nobody")));
    assert_eq!(accounts.permissions_of("nobody"), Err(no_such_user("nobody")));
    assert_eq!(AccountsError::NoSuchVhost("v".into()).to_string(), "Virtual host 'v' does not exist");
}

#[test]
fn what_is_persisted_comes_back() {
    let mut accounts = fresh();
    let mut stored = std::collections::BTreeMap::new();
    let mut store = |changes: Vec<DefinitionChange>| {
        for (key, value) in changes {
            match value {
                Some(value) => drop(stored.insert(key, value)),
                None => assert!(stored.remove(&key).is_some(), "only what was set is removed"),
            }
        }
        stored.clone()
    };
    store(Accounts::fresh("guest", "/", &hash("guest")).iter().map(Definition::set).collect());
    store(accounts.add_user("a", hash("secret")).unwrap());
    store(accounts.add_user("b", hash("secret")).unwrap());
    store(accounts.set_tags("a", vec!["management".into(), "x".into()]).unwrap());
    for user in ["a", "b"] {
        for vhost in ["/", "v"] {
            let permission = PermissionDefinition {
                user: user.into(),
                vhost: vhost.into(),
                configure: "c".into(),
                write: "w".into(),
                read: vhost.into(),
            };
            store(accounts.set_permissions(permission).unwrap());
        }
    }
    store(accounts.forget_vhost("v"));
    let stored = store(accounts.delete_user("b").unwrap());

    let definitions: Vec<_> =
        stored.iter().map(|(key, value)| Definition::decode(key, value).unwrap()).collect();
    let mut restored = Accounts::new(vec![], Hashing::Sha256);
    assert_eq!(restored.restore(definitions.iter()), Vec::<String>::new());
    assert_eq!(restored.users(), accounts.users());
    assert_eq!(restored.users().len(), 2);
    assert_eq!(restored.permissions_in("/"), accounts.permissions_in("/"));
    assert_eq!(restored.permissions_of("a").unwrap().len(), 1);
    assert_eq!(restored.permissions_in("v"), []);
    assert_eq!(restored.login("a", b"secret", false), Ok(()));
    assert!(!restored.exists("b"));
}

#[test]
fn the_same_password_in_a_better_way_changes_nothing_else() {
    let mut accounts = fresh();
    let (known, stamp) = (hash("guest"), accounts.password_stamp("guest"));
    let better = PasswordHash::new("guest", Hashing::Sha512, [1; 16]).unwrap();
    assert_eq!(accounts.rehash("guest", &hash("other"), better.clone()), [], "it is another one by now");
    assert_eq!(accounts.rehash("guest", &known, better.clone()).len(), 1);
    assert_eq!(accounts.password_hash("guest"), Some(&better));
    assert_eq!(accounts.password_stamp("guest"), stamp);
    assert_eq!(accounts.login("guest", b"guest", true), Ok(()));
    accounts.change_password("guest", known).unwrap();
    assert_ne!(accounts.password_stamp("guest"), stamp);
}

#[test]
fn a_user_may_be_put_again_and_keeps_what_is_not_said() {
    let mut accounts = fresh();
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    assert_eq!(accounts.put_user("ann", None, tags(&["monitoring"])).unwrap().len(), 1);
    assert!(accounts.password_hash("ann").is_some_and(PasswordHash::is_none));
    assert!(accounts.login("ann", b"", true).is_err(), "no password is none to log in with");
    permit(&mut accounts, "ann", "/", ["a", "b", "c"]).unwrap();
    accounts.put_user("ann", Some(hash("secret")), tags(&[])).unwrap();
    assert_eq!(accounts.login("ann", b"secret", false), Ok(()));
    accounts.put_user("ann", None, tags(&["x"])).unwrap();
    assert_eq!(accounts.login("ann", b"secret", false), Ok(()));
    assert_eq!(accounts.tags("ann"), ["x"]);
    assert!(accounts.may("ann", "/", Access::Configure, "a"), "permissions stay");
    accounts.put_user("ann", Some(PasswordHash::none()), tags(&[])).unwrap();
    assert!(accounts.login("ann", b"secret", false).is_err());
    assert_eq!(accounts.put_user("", None, tags(&[])).unwrap_err(), AccountsError::InvalidName);
    assert_eq!(accounts.put_user("bob", None, tags(&["a\nb"])).unwrap_err(), AccountsError::InvalidName);
}

#[test]
fn permissions_of_nobody_are_reported() {
    let mut accounts = Accounts::new(vec![], Hashing::Sha256);
    let orphan: Vec<_> = Accounts::fresh("guest", "/", &hash("guest")).into_iter().skip(1).collect();
    assert_eq!(
        accounts.restore(orphan.iter()),
        ["permission of user 'guest' in vhost '/': User \"guest\" does not exist"]
    );
    assert!(!accounts.has_access("guest", "/"));
}

#[test]
fn s9_a_refusal_costs_what_the_dearest_password_does() {
    let mut accounts = fresh();
    assert_eq!(accounts.dearest_hashing(), Hashing::Sha256);
    accounts.add_user("ann", PasswordHash::new("x", Hashing::Argon2id, [7; 16]).unwrap()).unwrap();
    assert_eq!(accounts.dearest_hashing(), Hashing::Argon2id);
}
