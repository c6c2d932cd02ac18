//! Queries about a user of a directory, as RabbitMQ's LDAP plugin has them and in its notation, so that they can be carried
//! over: `{constant, true}`, `{in_group, "cn=x,ou=groups,dc=example"}` (also with an attribute), `{'not', Q}`,
//! `{'and', [Q, …]}`, `{'or', [Q, …]}`, `{equals, "…", "…"}`, `{match, "…", "regex"}`, and `{for, [{What, Value, Q}, …]}`
//! where What is `permission`, `vhost` or `name`. In texts `${username}`, `${user_dn}`, `${vhost}`, `${name}`,
//! `${permission}` and `${routing_key}` stand for what they say. `exists`, `attribute`, `in_group_nested` and the kind of
//! a resource are not understood, and a query with them is refused, never taken for less.
//!
//! Pure: which groups a user is in was found out at the login, so a query is answered without asking anybody.
//! Source: RabbitMQ `rabbit_auth_backend_ldap`.

use super::Pattern;
use super::ldap_names::{escaped_dn, same_dn};
use crate::limits::{LDAP_QUERY_BYTES_MAX, LDAP_QUERY_DEPTH_MAX};

/// See the file's head.
#[derive(Clone, Debug)]
pub enum LdapQuery {
    /// The same for everybody.
    Constant(bool),
    /// The user is named by this attribute of the group with this name.
    InGroup(Template, String),
    /// The other does not hold.
    Not(Box<LdapQuery>),
    /// All hold.
    All(Vec<LdapQuery>),
    /// One holds.
    Any(Vec<LdapQuery>),
    /// The texts are the same.
    Equals(Template, Template),
    /// The expression is found in the text.
    Match(Template, Expression),
    /// The first that is about this decides; if there is none, it does not hold.
    For(Vec<(Variable, String, LdapQuery)>),
}

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Expression(Box<Pattern>);

/// What a text can speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `username`
    Username,
    /// `user_dn`
    UserDn,
    /// `vhost`
    Vhost,
    /// `name`: of the queue or exchange
    Name,
    /// `permission`: `configure`, `write` or `read`
    Permission,
    /// `routing_key`
    RoutingKey,
}

/// A text with variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

/// What is known when a query is asked: what is not said is empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The name the user logged in with.
    pub username: &'a str,
    /// Its name in the directory.
    pub user_dn: &'a str,
    /// The vhost.
    pub vhost: &'a str,
    /// Queue or exchange.
    pub name: &'a str,
    /// What is to be done.
    pub permission: &'a str,
    /// With which key.
    pub routing_key: &'a str,
    /// The groups that name the user: by which attribute, and the group's name in the directory.
    pub groups: &'a [(String, String)],
}

impl Facts<'_> {
    fn get(&self, variable: Variable) -> &str {
        match variable {
            Variable::Username => self.username,
            Variable::UserDn => self.user_dn,
            Variable::Vhost => self.vhost,
            Variable::Name => self.name,
            Variable::Permission => self.permission,
            Variable::RoutingKey => self.routing_key,
        }
    }
}

impl Variable {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "username" => Self::Username,
            "user_dn" => Self::UserDn,
            "vhost" => Self::Vhost,
            "name" => Self::Name,
            "permission" => Self::Permission,
            "routing_key" => Self::RoutingKey,
            _ => return None,
        })
    }
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// A sentence, for a variable that is not known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once("${") {
            let (name, behind) = behind.split_once('}').ok_or("a ${ without its }")?;
            pieces.push(Piece::Text(before.to_owned()));
            let variable = Variable::parse(name).ok_or_else(|| format!("${{{name}}} is not known"))?;
            pieces.push(Piece::Variable(variable));
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// The text, with what the variables stand for.
    pub fn fill(&self, facts: &Facts<'_>) -> String {
        self.fill_with(facts, str::to_owned)
    }

    /// The same as a name in a directory: what the variables stand for cannot become a part of its structure. The name of
    /// the user in the directory is such a structure itself.
    pub fn fill_dn(&self, facts: &Facts<'_>) -> String {
        self.fill_with(facts, escaped_dn)
    }

    fn fill_with(&self, facts: &Facts<'_>, shown: impl Fn(&str) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(Variable::UserDn) => facts.user_dn.to_owned(),
            Piece::Variable(variable) => shown(facts.get(*variable)),
        };
        self.0.iter().map(piece).collect()
    }
}

impl LdapQuery {
    /// Reads a query.
    ///
    /// # Errors
    /// A sentence for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::of_term(&Term::parse(text)?)
    }

    /// Reads `[{tag, Q}, …]`.
    ///
    /// # Errors
    /// A sentence for a person.
    pub fn parse_by_tag(text: &str) -> Result<Vec<(String, Self)>, String> {
        let Term::List(items) = Term::parse(text)? else { return Err("no list of {tag, query}".to_owned()) };
        let item = |item: &Term| match item {
            Term::Tuple(parts) => match &parts[..] {
                [Term::Atom(tag) | Term::Text(tag), query] => Ok((tag.clone(), Self::of_term(query)?)),
                _ => Err("an item of the list is no {tag, query}".to_owned()),
            },
            _ => Err("an item of the list is no {tag, query}".to_owned()),
        };
        items.iter().map(item).collect()
    }

    fn of_term(term: &Term) -> Result<Self, String> {
        let Term::Tuple(parts) = term else { return Err("a query is a tuple, {…}".to_owned()) };
        let Some((Term::Atom(kind), rest)) = parts.split_first() else {
            return Err("a query begins with its kind".to_owned());
        };
        Ok(match (kind.as_str(), rest) {
            ("constant", [Term::Atom(truth)]) if truth == "true" => Self::Constant(true),
            ("constant", [Term::Atom(truth)]) if truth == "false" => Self::Constant(false),
            ("in_group", [Term::Text(dn)]) => Self::InGroup(Template::parse(dn)?, "member".to_owned()),
            ("in_group", [Term::Text(dn), Term::Text(attribute)]) if is_attribute(attribute) => {
                Self::InGroup(Template::parse(dn)?, attribute.to_ascii_lowercase())
            }
            ("not", [query]) => Self::Not(Box::new(Self::of_term(query)?)),
            ("and", [Term::List(queries)]) => Self::All(queries_of(queries)?),
            ("or", [Term::List(queries)]) => Self::Any(queries_of(queries)?),
            ("equals", [one, other]) => Self::Equals(template_of(one)?, template_of(other)?),
            ("match", [text, expression]) => {
                let expression = match expression {
                    Term::Text(expression) => expression,
                    Term::Tuple(parts) => match &parts[..] {
                        [Term::Atom(kind), Term::Text(expression)] if kind == "string" => expression,
                        _ => return Err("an expression is a text".to_owned()),
                    },
                    _ => return Err("an expression is a text".to_owned()),
                };
                Self::Match(template_of(text)?, Expression(Box::new(Pattern::anywhere(expression)?)))
            }
            ("for", [Term::List(cases)]) => Self::For(cases.iter().map(case).collect::<Result<_, _>>()?),
            (kind, _) => return Err(format!("a query of kind {kind} with these parts is not understood")),
        })
    }

    /// The attributes by which groups name their members in it.
    pub fn attributes(&self, into: &mut Vec<String>) {
        match self {
            Self::InGroup(_, attribute) if !into.contains(attribute) => into.push(attribute.clone()),
            Self::InGroup(..) | Self::Constant(_) | Self::Equals(..) | Self::Match(..) => {}
            Self::Not(query) => query.attributes(into),
            Self::All(queries) | Self::Any(queries) => {
                queries.iter().for_each(|query| query.attributes(into));
            }
            Self::For(cases) => cases.iter().for_each(|(_, _, query)| query.attributes(into)),
        }
    }

    /// Whether it holds.
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Constant(truth) => *truth,
            Self::InGroup(dn, attribute) => {
                let dn = dn.fill_dn(facts);
                facts.groups.iter().any(|(by, group)| by == attribute && same_dn(group, &dn))
            }
            Self::Not(query) => !query.holds(facts),
            Self::All(queries) => queries.iter().all(|query| query.holds(facts)),
            Self::Any(queries) => queries.iter().any(|query| query.holds(facts)),
            Self::Equals(one, other) => one.fill(facts) == other.fill(facts),
            Self::Match(text, Expression(pattern)) => pattern.allows(&text.fill(facts)),
            Self::For(cases) => {
                let about =
                    |(variable, value, _): &&(Variable, String, LdapQuery)| facts.get(*variable) == value;
                cases.iter().find(about).is_some_and(|(_, _, query)| query.holds(facts))
            }
        }
    }
}

fn queries_of(terms: &[Term]) -> Result<Vec<LdapQuery>, String> {
    terms.iter().map(LdapQuery::of_term).collect()
}

/// `"…"` or `{string, "…"}`.
fn template_of(term: &Term) -> Result<Template, String> {
    match term {
        Term::Text(text) => Template::parse(text),
        Term::Tuple(parts) => match &parts[..] {
            [Term::Atom(kind), Term::Text(text)] if kind == "string" => Template::parse(text),
            _ => Err("only texts can be compared".to_owned()),
        },
        _ => Err("only texts can be compared".to_owned()),
    }
}

/// `{permission, configure, Q}`, `{vhost, "…", Q}`, `{name, "…", Q}`.
fn case(term: &Term) -> Result<(Variable, String, LdapQuery), String> {
    let wrong = || "a case is {permission | vhost | name, value, query}".to_owned();
    let Term::Tuple(parts) = term else { return Err(wrong()) };
    let [Term::Atom(what), Term::Atom(value) | Term::Text(value), query] = &parts[..] else {
        return Err(wrong());
    };
    let variable = match what.as_str() {
        "permission" => Variable::Permission,
        "vhost" => Variable::Vhost,
        "name" => Variable::Name,
        _ => return Err(wrong()),
    };
    Ok((variable, value.clone(), LdapQuery::of_term(query)?))
}

/// Letters, digits and dashes: it goes into filters as it is.
fn is_attribute(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A term of Erlang, as far as queries need them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Atom(String),
    Text(String),
    List(Vec<Term>),
    Tuple(Vec<Term>),
}

impl Term {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LDAP_QUERY_BYTES_MAX {
            return Err(format!("a query has at most {LDAP_QUERY_BYTES_MAX} bytes"));
        }
        let mut reader = Reader { rest: text.trim_end().trim_end_matches('.') };
        let term = reader.term(0)?;
        reader.skip_space();
        if reader.rest.is_empty() { Ok(term) } else { Err(format!("{:?} is too much", reader.rest)) }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn term(&mut self, depth: usize) -> Result<Term, String> {
        if depth > LDAP_QUERY_DEPTH_MAX {
            return Err(format!("a query is at most {LDAP_QUERY_DEPTH_MAX} deep"));
        }
        self.skip_space();
        match self.rest.chars().next() {
            Some('{') => Ok(Term::Tuple(self.items('}', depth)?)),
            Some('[') => Ok(Term::List(self.items(']', depth)?)),
            Some('"') => Ok(Term::Text(self.quoted('"')?)),
            Some('\'') => Ok(Term::Atom(self.quoted('\'')?)),
            Some(letter) if letter.is_ascii_lowercase() => {
                let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '@');
                let end = self.rest.find(|letter| !is_part(letter)).unwrap_or(self.rest.len());
                let (atom, rest) = self.rest.split_at(end);
                self.rest = rest;
                Ok(Term::Atom(atom.to_owned()))
            }
            Some(_) => Err(format!("{:?} is no term", self.rest)),
            None => Err("the query ends too early".to_owned()),
        }
    }

    fn items(&mut self, end: char, depth: usize) -> Result<Vec<Term>, String> {
        self.rest = self.rest.get(1..).unwrap_or_default();
        let mut items = Vec::new();
        self.skip_space();
        if let Some(rest) = self.rest.strip_prefix(end) {
            self.rest = rest;
            return Ok(items);
        }
        loop {
            items.push(self.term(depth + 1)?);
            self.skip_space();
            if let Some(rest) = self.rest.strip_prefix(end) {
                self.rest = rest;
                return Ok(items);
            }
            self.rest = self.rest.strip_prefix(',').ok_or_else(|| format!("a , or {end} is missing"))?;
        }
    }

    /// What stands between two of these marks.
    fn quoted(&mut self, mark: char) -> Result<String, String> {
        let mut text = String::new();
        let mut letters = self.rest.char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            if letter == mark {
                self.rest = self.rest.get(at + 1..).unwrap_or_default();
                return Ok(text);
            }
            text.push(match letter {
                '\\' => letters.next().map(|(_, letter)| letter).ok_or("a \\ without a letter")?,
                letter => letter,
            });
        }
        Err(format!("a {mark} without its end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "CN=Orders , ou=groups,dc=example";

    fn holds(query: &str, change: impl FnOnce(&mut Facts<'_>)) -> bool {
        let groups =
            [("member".to_owned(), GROUP.to_owned()), ("uniquemember".to_owned(), "cn=b".to_owned())];
        let mut facts = Facts {
            username: "ann",
            user_dn: "cn=ann,ou=people,dc=example",
            vhost: "orders",
            name: "queue-1",
            permission: "read",
            routing_key: "eu.x",
            groups: &groups,
        };
        change(&mut facts);
        LdapQuery::parse(query).unwrap_or_else(|error| panic!("{query}: {error}")).holds(&facts)
    }

    #[test]
    fn queries_are_those_of_rabbitmqs_plugin() {
        for (query, expected) in [
            ("{constant, true}", true),
            (" { constant , false } .", false),
            ("{in_group, \"cn=orders,ou=groups,dc=example\"}", true),
            ("{in_group, \"cn=${vhost},ou=groups,dc=example\"}", true),
            ("{in_group, \"cn=others,ou=groups,dc=example\"}", false),
            ("{in_group, \"cn=b\"}", false),
            ("{in_group, \"cn=b\", \"uniqueMember\"}", true),
            ("{'not', {constant, true}}", false),
            ("{'and', [{constant, true}, {in_group, \"cn=b\"}]}", false),
            ("{'or', [{constant, false}, {in_group, \"cn=b\", \"uniqueMember\"}]}", true),
            ("{'and', []}", true),
            ("{'or', []}", false),
            ("{equals, \"${username}\", \"ann\"}", true),
            ("{equals, {string, \"${user_dn}\"}, \"cn=ann,ou=people,dc=example\"}", true),
            ("{match, \"${name}\", \"^queue-[0-9]+$\"}", true),
            ("{match, {string, \"${routing_key}\"}, {string, \"^us\"}}", false),
            (
                "{for, [{permission, configure, {constant, false}}, {permission, read, {constant, true}}]}",
                true,
            ),
            ("{for, [{permission, write, {constant, true}}]}", false),
            ("{for, [{vhost, \"orders\", {match, \"${name}\", \"^queue\"}}]}", true),
        ] {
            assert_eq!(holds(query, |_| {}), expected, "{query}");
        }
    }

    #[test]
    fn no_name_passes_for_a_part_of_the_directory() {
        let query = "{in_group, \"cn=${vhost},ou=groups,dc=example\"}";
        for vhost in ["orders,ou=groups,dc=example", "Orders ", "orders\\", "*", "x,cn=orders"] {
            let evil = format!("{vhost},ou=groups,dc=example");
            assert!(!holds(query, |facts| facts.vhost = vhost) || evil == GROUP, "{vhost}");
        }
        assert!(!holds("{in_group, \"${name},ou=groups,dc=example\"}", |facts| facts.name = "cn=orders"));
    }

    #[test]
    fn what_is_not_understood_is_no_query() {
        for query in [
            "",
            "true",
            "{}",
            "{constant}",
            "{constant, yes}",
            "{constant, true} x",
            "{exists, \"cn=x\"}",
            "{in_group_nested, \"cn=x\"}",
            "{in_group, \"cn=${resource}\"}",
            "{in_group, \"cn=${vhost\"}",
            "{in_group, \"cn=x\", \"a)(b=*\"}",
            "{equals, {attribute, \"cn=x\", \"y\"}, \"z\"}",
            "{match, \"x\", \"(\"}",
            "{for, [{resource, queue, {constant, true}}]}",
            "{'and', {constant, true}}",
            "{constant, \"true}",
            "[constant, true]",
        ] {
            assert!(LdapQuery::parse(query).is_err(), "{query}");
        }
        let deep = "{'not', ".repeat(LDAP_QUERY_DEPTH_MAX + 1) + "{constant, true}";
        assert!(LdapQuery::parse(&deep).is_err());
        let deepest = "[".repeat(LDAP_QUERY_BYTES_MAX - 1);
        assert!(LdapQuery::parse(&deepest).is_err(), "and no stack is used up");
    }

    #[test]
    fn tags_have_queries() {
        let read =
            LdapQuery::parse_by_tag("[{administrator, {constant, false}}, {'x y', {in_group, \"cn=b\"}}]");
        let tags: Vec<String> = read.unwrap().into_iter().map(|(tag, _)| tag).collect();
        assert_eq!(tags, ["administrator", "x y"]);
        assert!(LdapQuery::parse_by_tag("[]").unwrap().is_empty());
        assert!(LdapQuery::parse_by_tag("{constant, true}").is_err());
        assert!(LdapQuery::parse_by_tag("[administrator]").is_err());
    }
}
