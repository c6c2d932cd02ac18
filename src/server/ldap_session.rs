//! A conversation with a directory: the requests and answers of `auth::ldap_wire` over a socket, one at a time. Waits as long
//! as it takes: whoever asks has a bound. After an error nothing more is to be asked.
//! Source: RFC 4511 §4.1.1.1 (numbers), §4.14 (TLS).

use super::tls_client::{self, Trust};
use crate::auth::{LdapReply, LdapRequest, LdapResult, ldap_message_length};
use crate::limits::LDAP_ASIDES_MAX;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes read at once; an answer is mostly shorter.
const READ_BYTES: usize = 4096;

/// What a conversation goes over.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// See the file's head.
pub(super) struct LdapSession<S> {
    socket: S,
    /// What came and was not read yet; never longer than a message may be, and one read.
    incoming: Vec<u8>,
    last_id: u32,
}

impl LdapSession<Box<dyn Socket>> {
    /// Connects to a server; with TLS from the beginning, or from the first request on if `is_later`.
    ///
    /// # Errors
    /// A sentence for the log.
    pub(super) async fn open(host: &str, port: u16, security: Option<(Trust, bool)>) -> Result<Self, String> {
        let mut tcp = TcpStream::connect((host, port)).await.map_err(shown)?;
        // Questions are short, and each waits for its answer.
        tcp.set_nodelay(true).map_err(shown)?;
        let socket: Box<dyn Socket> = match security {
            None => Box::new(tcp),
            Some((trust, is_later)) => {
                if is_later {
                    tcp = LdapSession::over(tcp).start_tls().await?;
                }
                Box::new(tls_client::connect(trust, host, tcp).await.map_err(shown)?)
            }
        };
        Ok(Self::over(socket))
    }
}

impl<S: Socket> LdapSession<S> {
    /// A conversation that begins.
    fn over(socket: S) -> Self {
        Self { socket, incoming: Vec::new(), last_id: 0 }
    }

    /// Asks to be somebody.
    ///
    /// # Errors
    /// A sentence for the log, as with all that follow.
    pub(super) async fn bind(&mut self, dn: &str, password: &str) -> Result<LdapResult, String> {
        self.ask(&LdapRequest::Bind { dn, password }).await?;
        match self.answer(0).await? {
            LdapReply::Bound(result) => Ok(result),
            _ => Err(OTHER_ANSWER.to_owned()),
        }
    }

    /// The names of at most `most` entries with an attribute of this value, and how the search ended.
    pub(super) async fn search(
        &mut self,
        base: &str,
        (attribute, value): (&str, &str),
        most: usize,
    ) -> Result<(Vec<String>, LdapResult), String> {
        let limit = u32::try_from(most).unwrap_or(u32::MAX >> 1);
        self.ask(&LdapRequest::Search { base, attribute, value, most: limit }).await?;
        let mut names = Vec::new();
        let mut asides = 0;
        loop {
            match self.answer(asides).await? {
                LdapReply::Entry(_) if names.len() == most => {
                    return Err(format!(
                        "the directory finds more than the {most} entries that were asked for"
                    ));
                }
                LdapReply::Entry(name) => names.push(name),
                LdapReply::Elsewhere => asides += 1,
                LdapReply::Found(result) => return Ok((names, result)),
                _ => return Err(OTHER_ANSWER.to_owned()),
            }
        }
    }

    /// Asks for TLS; what follows on the socket is its business.
    async fn start_tls(mut self) -> Result<S, String> {
        self.ask(&LdapRequest::StartTls).await?;
        match self.answer(0).await? {
            LdapReply::Extended(LdapResult { code: 0, .. }) => {}
            LdapReply::Extended(LdapResult { code, .. }) => {
                return Err(format!("the directory refuses TLS with code {code}"));
            }
            _ => return Err(OTHER_ANSWER.to_owned()),
        }
        // Somebody on the way would like it to be taken for an answer of the directory.
        if self.incoming.is_empty() { Ok(self.socket) } else { Err("there is more before TLS".to_owned()) }
    }

    /// It hears that we go; if it does not, nothing is lost.
    pub(super) async fn leave(mut self) {
        let _ = self.ask(&LdapRequest::Unbind).await;
        let _ = self.socket.shutdown().await;
    }

    async fn ask(&mut self, request: &LdapRequest<'_>) -> Result<(), String> {
        self.last_id += 1;
        self.socket.write_all(&request.encode(self.last_id)).await.map_err(shown)?;
        self.socket.flush().await.map_err(shown)
    }

    /// The next answer to what was asked last, `asides` messages that said nothing having come before.
    async fn answer(&mut self, mut asides: usize) -> Result<LdapReply, String> {
        loop {
            if asides > LDAP_ASIDES_MAX {
                return Err("the directory talks about something else".to_owned());
            }
            let (id, reply) = self.message().await?;
            match reply {
                LdapReply::Extended(LdapResult { code, .. }) if id == 0 => {
                    return Err(format!("the directory ends the conversation with code {code}"));
                }
                _ if id != self.last_id => {
                    return Err("the directory answers what nobody asked".to_owned());
                }
                LdapReply::Intermediate => asides += 1,
                reply => return Ok(reply),
            }
        }
    }

    async fn message(&mut self) -> Result<(u32, LdapReply), String> {
        let malformed = |why: crate::auth::LdapMalformed| format!("the directory answers no LDAP: {}", why.0);
        loop {
            if let Some(length) = ldap_message_length(&self.incoming).map_err(malformed)?
                && let Some(message) = self.incoming.get(..length)
            {
                let reply = LdapReply::decode(message).map_err(malformed)?;
                self.incoming.drain(..length);
                return Ok(reply);
            }
            // No more than what came is kept, whatever length was said.
            let mut read = [0; READ_BYTES];
            let count = self.socket.read(&mut read).await.map_err(shown)?;
            if count == 0 {
                return Err("the directory hung up".to_owned());
            }
            self.incoming.extend_from_slice(read.get(..count).unwrap_or_default());
        }
    }
}

const OTHER_ANSWER: &str = "the directory answers another question";

#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn shown(error: io::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    /// A good answer to the first bind, and to the second.
    const BOUND: [&[u8]; 2] = [
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x31\x04\x00\x04\x00",
    ];
    const ENTRY: &[u8] = b"\x30\x0d\x02\x01\x01\x64\x08\x04\x04cn=x\x30\x00";
    const ELSEWHERE: &[u8] = b"\x30\x05\x02\x01\x01\x73\x00";
    const FOUND: &[u8] = b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00";
    const TLS_GOES: &[u8] = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
    const LEAVING: &[u8] = b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00";

    /// A session with a directory that says this, whatever it is asked.
    fn with(said: &[u8]) -> LdapSession<DuplexStream> {
        let (ours, mut theirs) = duplex(1 << 20);
        let said = said.to_vec();
        tokio::spawn(async move {
            theirs.write_all(&said).await.unwrap();
            theirs.shutdown().await.unwrap();
            let mut asked = Vec::new();
            let _ = theirs.read_to_end(&mut asked).await;
        });
        LdapSession::over(ours)
    }

    #[tokio::test]
    async fn answers_come_in_any_pieces() {
        let (ours, mut theirs) = duplex(1);
        tokio::spawn(async move {
            let mut asked = [0; 14];
            for answer in BOUND {
                theirs.read_exact(&mut asked).await.unwrap();
                theirs.write_all(answer).await.unwrap();
            }
        });
        let mut session = LdapSession::over(ours);
        assert_eq!(session.bind("", "").await.unwrap().code, 0);
        assert_eq!(session.bind("", "").await.unwrap().code, 49);
        assert_eq!(session.bind("", "").await.map_err(|why| why.is_empty()), Err(false), "it is gone");
    }

    #[tokio::test]
    async fn a_search_is_what_was_found_and_no_more_than_was_asked_for() {
        let found = [ENTRY, ELSEWHERE, ENTRY, FOUND].concat();
        let (names, result) = with(&found).search("", ("cn", "x"), 2).await.unwrap();
        assert_eq!((names, result.code), (vec!["cn=x".to_owned(); 2], 0));
        let why = with(&found).search("", ("cn", "x"), 1).await.unwrap_err();
        assert!(why.contains("more than the 1 entries"), "{why}");
        let endless = ELSEWHERE.repeat(LDAP_ASIDES_MAX + 2);
        let why = with(&endless).search("", ("cn", "x"), 1).await.unwrap_err();
        assert!(why.contains("something else"), "{why}");
    }

    #[tokio::test]
    async fn nothing_but_the_answer_is_taken_for_it() {
        for (said, expected) in [
            (&b""[..], "hung up"),
            (b"\x30", "hung up"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no LDAP"),
            (b"\x30\x84\xff\xff\xff\xff", "a message is too long"),
            (BOUND[1], "what nobody asked"),
            (FOUND, "another question"),
            (ENTRY, "another question"),
            (LEAVING, "ends the conversation with code 52"),
        ] {
            let why = with(said).bind("cn=x", "y").await.unwrap_err();
            assert!(why.contains(expected), "{said:02x?}: {why}");
        }
    }

    #[tokio::test]
    async fn tls_begins_where_the_answer_ends() {
        assert!(with(TLS_GOES).start_tls().await.is_ok());
        for (said, expected) in [
            ([TLS_GOES, BOUND[1]].concat(), "more before TLS"),
            (BOUND[0].to_vec(), "another question"),
            (LEAVING.to_vec(), "code 52"),
        ] {
            let why = with(&said).start_tls().await.map(drop).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
    }
}
