//! Every bound of the broker, with its unit, and what happens when it is reached. A bound that a user may move is the
//! default of a configuration key; the others are constants.

/// Smallest `frame_max` a client may ask for, bytes; below: 530. Source: AMQP 0-9-1 §4.2.3.
pub const FRAME_BYTES_MIN: u32 = 4096;
/// Largest `frame_max` offered in connection.tune, bytes.
pub const FRAME_BYTES_MAX: u32 = 131_072;
/// Largest frame before tune-ok, bytes; above: 501.
pub const FRAME_BYTES_BEFORE_TUNE: u32 = 8192;
/// Channels of a connection offered in connection.tune; more: 530.
pub const CHANNELS_MAX: u16 = 2047;
/// Heartbeat interval offered in connection.tune, seconds.
pub const HEARTBEAT_S: u16 = 60;
/// Time from accept to connection.open, ms; then the socket is closed.
pub const HANDSHAKE_MS: u64 = 10_000;
/// Default for the largest body, bytes; above: 406 on the channel.
pub const MESSAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Nesting of field tables and arrays; deeper: 502.
pub const TABLE_DEPTH_MAX: usize = 16;
/// Names of queues, exchanges, keys, tags: bytes of an AMQP short string.
pub const SHORT_STRING_BYTES_MAX: usize = 255;
/// Delivered bytes on their way to one connection; above: its consumers wait.
pub const OUTBOX_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Delivered bytes on their way to one connection above which direct replies for it are dropped: there is no queue for
/// them to wait in.
pub const REPLY_OUTBOX_BYTES_MAX: usize = 4 * OUTBOX_BYTES_MAX;
/// Bytes of commands a connection may have on their way to its vhost; above: its socket is not read.
pub const INBOX_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Size of a method above which it counts as its bytes on the way to the vhost, and not as an average one, bytes.
pub const LARGE_METHOD_BYTES: usize = 512;
/// Bytes of publishes kept by one transaction; above: 406 on the channel.
pub const TRANSACTION_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Commands of a channel kept while its commit waits for bodies from disk; more: the commit is done without these, and
/// their messages become dead letters in records of their own.
pub const PARKED_COMMANDS_MAX: usize = 256;
/// Consumers of a channel; more: 530.
pub const CONSUMERS_PER_CHANNEL_MAX: usize = 10_000;
/// Consumers of a vhost; more: 406 on the channel.
pub const CONSUMERS_PER_VHOST_MAX: u64 = 1_000_000;
/// Queues of a vhost for which `max-queues` is not set; more: 406.
pub const QUEUES_PER_VHOST_MAX: u64 = 100_000;
/// Exchanges of a vhost; more: 406.
pub const EXCHANGES_PER_VHOST_MAX: u64 = 100_000;
/// Bindings of a vhost, those to the default exchange aside; more: 406.
pub const BINDINGS_PER_VHOST_MAX: u64 = 1_000_000;
/// Channels of a user, on all connections, for whom `max-channels` is not set; more: 530.
pub const CHANNELS_PER_USER_MAX: u64 = 100_000;
/// Default for how long a delivery may stay unacknowledged, ms; then its consumer is cancelled, or its channel closed with
/// 406.
pub const CONSUMER_TIMEOUT_MS: u64 = 30 * 60 * 1000;
/// Values of one field table, those of its inner tables included; more: refused as malformed.
pub const TABLE_PAIRS_MAX: usize = 65_536;
/// Bodies up to this many bytes are copied into the buffer of what goes out; larger ones are written from where they are.
pub const OUTBOUND_COPY_BYTES_MAX: usize = 4096;
/// Bodies of a queue read back at once, and kept in memory for consumers beyond the budget: messages.
pub const HEAD_MESSAGES_MAX: usize = 256;
/// The same in bytes; a single message may be larger.
pub const HEAD_BYTES_MAX: usize = 1024 * 1024;
/// Messages of a queue in memory up to which those that consumers hold keep their bodies; above, bodies are dropped on
/// delivery and what comes back is read from the log again. Half a head, so that fresh messages have room beside them.
pub const HELD_MESSAGES_MAX: usize = HEAD_MESSAGES_MAX / 2;
/// Entries at the head of a queue that stay in memory when segments behind them are sealed: messages.
pub const HEAD_ENTRIES_MIN: u64 = 4096;
/// The same for each level of a queue with priorities, whatever their number: messages.
pub const LEVEL_ENTRIES_MIN: u64 = 256;
/// Default for the memory that message bodies may take, all vhosts together, bytes; above: persistent bodies are kept on
/// disk only. More does not make backlogs faster: what is read back is in the page cache.
pub const BODY_MEMORY_BYTES: usize = 160 * 1024 * 1024;
/// Largest body a content header may announce whatever is configured, bytes; above: 501.
pub const CONTENT_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Half-received bodies on all channels of a connection, bytes, or the largest message if that is more; above: the
/// connection is closed with 320.
pub const ASSEMBLY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Half-received bodies of all connections together, bytes, or four times the largest message if that is more; above: who
/// holds more than an equal part of it is not read any further, but for one at a time.
pub const ASSEMBLY_BYTES_TOTAL_MAX: usize = 256 * 1024 * 1024;
/// How long such a connection waits until it is closed with 320, ms.
pub const ASSEMBLY_PATIENCE_MS: u64 = 30_000;
/// How long the one that is read all the same has to finish; then it is closed with 320, ms.
pub const ASSEMBLY_TURN_MS: u64 = 10_000;
/// How often one that waits is looked at, ms.
pub const ASSEMBLY_LOOK_MS: u64 = 50;
/// What a body of several frames reserves first, bytes: it grows with what arrives, never by what is announced.
pub const ASSEMBLY_RESERVE_BYTES: usize = 64 * 1024;
/// Memory for message bodies that stands for one entry of a delayed message in memory, bytes: an exchange keeps as many
/// entries of the soonest as go into the memory for bodies; the others are on disk. With the defaults 262,144, 25 MiB.
pub const DELAYED_BUDGET_BYTES: usize = 1024;
/// Entries of delayed messages that an exchange may keep in memory however little there is.
pub const DELAYED_ENTRIES_MIN: usize = 64;
/// Largest `expiration` of a message, ms (ten years); above: 406.
pub const EXPIRATION_MS_MAX: u64 = 315_360_000_000;
/// Properties a channel keeps to recognise the next ones by, bytes; larger ones are copied and checked each time.
pub const PROPERTIES_KEPT_BYTES_MAX: usize = 512;
/// Permissions a channel remembers; the oldest is asked again when there are more.
pub const CHANNEL_PERMISSIONS_MAX: usize = 12;
/// Publishes and what follows them that a connection holds back while an alarm is on, bytes; above: its socket is not read.
pub const PARKED_BYTES_MAX: usize = 1024 * 1024;
/// How long a client gets to answer connection.close, or to close its socket after ours, ms.
pub const CLOSE_GRACE_MS: u64 = 3_000;
/// How long a refused login without the right to an answer waits for its socket to be closed, ms.
pub const REFUSED_LOGIN_MS: u64 = 3_000;
/// Logins from one address that are refused at once; later ones wait for their answer.
pub const REFUSED_FREE_MAX: u64 = 10;
/// How much longer each of those waits than the one before, ms.
pub const REFUSED_WAIT_STEP_MS: u64 = 1_000;
/// How long the answer to a refused login waits at most, ms; it must fit within the handshake.
pub const REFUSED_WAIT_MS_MAX: u64 = 5_000;
/// How long an address that does not try again is remembered for that, ms.
pub const REFUSED_REMEMBERED_MS: u64 = 60_000;
/// Addresses remembered for that; from more of them every refusal waits longest.
pub const REFUSED_ADDRESSES_MAX: usize = 10_000;
/// Lines a second that clients may cause in the log; the rest is counted, and told as a sum.
pub const CLIENT_LINES_PER_SECOND_MAX: u32 = 50;
/// Bytes waiting for a client that does not read; above: nothing more is read from it.
pub const UNWRITTEN_BYTES_MAX: usize = 2 * OUTBOX_BYTES_MAX;
/// Clients the system lets wait until they are accepted.
pub const LISTEN_BACKLOG: u32 = 4096;
/// Open files kept for the store, the listeners and operators; clients get the rest.
pub const RESERVED_FILES: usize = 128;
/// Length of a request line on the control socket, bytes; longer: refused. Definitions come in one; only the broker's own
/// user and root get so far.
pub const CONTROL_LINE_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Resident memory, percent of what the process may take; above: publishers are blocked.
pub const MEMORY_HIGH_PERCENT: u64 = 50;
/// Resident memory, percent of what the process may take; below: they may go on.
pub const MEMORY_CLEAR_PERCENT: u64 = 45;
/// Parameters of the broker as a whole; more: refused.
pub const GLOBAL_PARAMETERS_MAX: usize = 1000;
/// Clients in their AMQP handshake that are served at the same time; others wait for their turn, which lasts for one read.
pub const HANDSHAKES_AT_WORK: usize = 1;
/// Visits of HTTP callers and imports to vhosts at once; more wait for their turn.
pub const VISITS_MAX: usize = 32;
/// Messages that one HTTP request gets from a queue; above: it gets these.
pub const GET_MESSAGES_MAX: usize = 10_000;
/// The same in bytes of bodies; a single message may be larger.
pub const GET_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Declarations that an import has on their way to a vhost at once.
pub const IMPORT_ORDERS_MAX: usize = 1000;
/// Policies of a vhost, and as many of its operators; more: refused.
pub const POLICIES_MAX: usize = 1000;
/// Messages a queue hands out before the next queue is looked at.
pub const DELIVERIES_PER_TURN: usize = 128;
/// Messages an exchange of type `x-recent-history` keeps, bytes; above: the oldest give way, and a larger one is not kept.
pub const RECENT_HISTORY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Times a read from the log is tried when the disk fails; then its messages are set aside until the next start.
pub const READ_ATTEMPTS_MAX: u32 = 6;
/// Pause before such a read is tried again, ms.
pub const READ_RETRY_MS: u64 = 1_000;
/// Pairs of queue and reason in the history of a dead letter; a message that died in more places goes nowhere.
pub const DEATHS_MAX: usize = 128;
/// Messages that leave their queues unconsumed while one input is taken, bytes; the rest is left for the next one, so that
/// the log's buffer stays bounded.
pub const LEAVING_BYTES_PER_INPUT_MAX: usize = 4 * 1024 * 1024;
/// Messages an operator may look at with one question; more are not shown.
pub const PEEK_MESSAGES_MAX: usize = 100;
/// Bodies shown to one question, bytes; the first message is shown whatever its size.
pub const PEEK_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Of the body of a message that is looked at over HTTP, bytes; the rest is not shown.
pub const PEEK_PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Messages moved to another queue by one order, so that others have their turn; the rest is ordered again.
pub const MOVED_PER_ORDER_MAX: u64 = 500;
/// How long a dead letter waits that the disk has no space for, ms.
pub const LEAVING_RETRY_MS: u64 = 1_000;
/// Default of `x-stream-max-segment-size-bytes`, bytes: what a stream lets go of at once, about, and the newest part that
/// it never lets go of.
pub const STREAM_UNIT_BYTES: u64 = 500_000_000;
/// Stretches of a full segment that retention tells apart; more are put together.
pub const STREAM_PIECES_PER_SEGMENT_MAX: usize = 16;
/// Bodies of a stream read back at once for one consumer: messages.
pub const STREAM_WINDOW_MESSAGES_MAX: u64 = 256;
/// Windows of a stream that are read at once; more consumers wait their turn. One while memory is short.
pub const STREAM_READS_MAX: usize = 4;
/// A window in bytes; a single message may be larger.
pub const STREAM_WINDOW_BYTES_MAX: usize = 1024 * 1024;
/// Newest messages of a stream that stay in memory for consumers at its end, messages; above: they are read back.
pub const STREAM_TAIL_MESSAGES_MAX: usize = 4096;
/// The same in bytes.
pub const STREAM_TAIL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bodies of a stream that may outstay their last reader, messages; above, or above the bytes: they are let go.
pub const STREAM_IDLE_MESSAGES_MAX: usize = 64;
/// The same in bytes.
pub const STREAM_IDLE_BYTES_MAX: usize = 256 * 1024;
/// How often the age of the oldest messages of streams is looked at, ms.
pub const STREAM_AGES_MS: u64 = 5_000;
/// Sessions of the management page at once; one more ends the one that was used longest ago.
pub const SESSIONS_MAX: usize = 1_000;
/// A session that was not used for this long ends, ms.
pub const SESSION_IDLE_MS: u64 = 60 * 60 * 1_000;
/// A session ends this long after its login, whoever uses it, ms.
pub const SESSION_LIFE_MS: u64 = 12 * 60 * 60 * 1_000;
/// Lines on their way to the audit log; more are left out and counted.
pub const AUDIT_LINES_WAITING_MAX: usize = 16_384;
/// Connections to the HTTP side at once; more wait until they are accepted.
pub const HTTP_CONNECTIONS_MAX: usize = 64;
/// Request line and headers of an HTTP request, bytes; above: 431, or 414 for the path.
pub const HTTP_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of an HTTP request; more: 431.
pub const HTTP_HEADERS_MAX: usize = 100;
/// Time for the head of an HTTP request, from the end of the one before, ms; then the connection is closed.
pub const HTTP_HEAD_MS: u64 = 30_000;
/// What the system keeps of an answer that an HTTP client does not read yet, bytes, as it is asked for.
pub const HTTP_SEND_BUFFER_BYTES: usize = 256 * 1024;
/// An answer of unknown length that a client of HTTP/1.0 gets, which is told its length first, bytes.
pub const HTTP_WHOLE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Time in which an HTTP client reads nothing of an answer, ms; then the connection is closed.
pub const HTTP_UNREAD_MS: u64 = 30_000;
/// Time in which a page with a metric for each object is made and read, ms; then it is cut off, because others wait.
pub const METRICS_PAGE_MS: u64 = 60_000;
/// Such pages that are made and read at once: each holds what it found, some 20 MiB with 100,000 queues.
pub const METRICS_PAGES_MAX: usize = 2;
/// Requests for them that wait; more get 503.
pub const METRICS_WAITING_MAX: usize = 32;
/// Time in which a client reads nothing of such a page, ms; then it is cut off, because others wait.
pub const METRICS_UNREAD_MS: u64 = 5_000;
/// Text of such a page that is made at once.
pub const METRICS_PIECE_BYTES: usize = 64 * 1024;
/// Time for the body of an HTTP request, ms; then 408.
pub const HTTP_BODY_MS: u64 = 30_000;
/// Body of an HTTP request, bytes; above: 413.
pub const HTTP_BODY_BYTES_MAX: usize = 1024 * 1024;
/// A message published by HTTP, as JSON, bytes; above: 413.
pub const HTTP_PUBLISH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Uploaded definitions, bytes; above: 413. Only administrators may send them.
pub const HTTP_DEFINITIONS_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Parameters in the query of an HTTP request; more: 400.
pub const HTTP_PARAMETERS_MAX: usize = 64;
/// Rows of a page that HTTP clients may ask for; more: 400.
pub const HTTP_PAGE_MAX: usize = 500;
/// Queues, exchanges or bindings that a vhost sums up, names or tells before it serves its clients again, below a millisecond's work.
pub const VHOST_PLACES_PER_LOOK: usize = 2048;
/// Names that are sorted on a thread that serves clients, a millisecond's work; more: on a thread beside them.
pub const SORTED_HERE_MAX: usize = 4096;
/// Parts of HTTP lists made at the same time, beside the threads that serve clients; further ones wait for their turn.
pub const HTTP_LISTS_AT_WORK: usize = 4;
/// Text of a definitions file that is made at once, a millisecond's work.
pub const EXPORT_PIECE_BYTES: usize = 64 * 1024;
/// Rows of a list that are made at once; a vhost is asked for no more at a time, so that others get their turn.
pub const HTTP_ROWS_PER_CHUNK: usize = 256;
/// Queues that one answer to `ledgermq top` tells of, those with most messages; the others are in the sums alone.
pub const FIGURES_QUEUES_MAX: usize = 2_000;
/// Memory that a regular expression in a query may take, bytes; above: 400.
pub const HTTP_PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// Parts of a response made ahead of the client that reads them.
pub const HTTP_PARTS_AHEAD: usize = 2;
/// Memory that argon2id takes for a new password, KiB: with [`ARGON2_PASSES`] about 20 ms of one core.
pub const ARGON2_MEMORY_KIB: u32 = 19 * 1024;
/// How often it goes over that memory.
pub const ARGON2_PASSES: u32 = 2;
/// Memory that the hash of an imported password may ask for, KiB; more: refused.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 64 * 1024;
/// Passes over it that an imported hash may ask for; more: refused.
pub const ARGON2_PASSES_MAX: u32 = 8;
/// Lanes that an imported hash may ask for; more: refused.
pub const ARGON2_LANES_MAX: u32 = 4;
/// Passwords checked at once, on a machine with twice as many cores or more; further ones wait their turn.
pub const LOGIN_CHECKS_MAX: usize = 4;
/// Good logins remembered, so that who comes back does not cost a hash again; the oldest gives way.
pub const KNOWN_LOGINS_MAX: usize = 4096;
/// Length of a bearer token, bytes; longer: the login is refused.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Text of a query about users of a directory, bytes; longer: the start is refused.
pub const LDAP_QUERY_BYTES_MAX: usize = 64 * 1024;
/// How deep queries lie in each other; deeper: the start is refused.
pub const LDAP_QUERY_DEPTH_MAX: usize = 16;
/// Groups of a user by one attribute; a user with more cannot log in.
pub const LDAP_GROUPS_MAX: usize = 1_000;
/// A message of a directory, bytes; longer: the login is refused. An answer holds a name or a sentence.
pub const LDAP_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Messages of a directory that say nothing about what was asked, hints where else to search among them; more: the login is
/// refused.
pub const LDAP_ASIDES_MAX: usize = 1_000;
/// A directory's sentence about a refusal that is logged, characters; the rest is left out.
pub const LDAP_TEXT_SHOWN_MAX: usize = 200;
/// Logins that a directory is asked for at once; further ones wait their turn.
pub const LDAP_LOGINS_MAX: usize = 16;
/// Good logins by a directory that are remembered; the oldest gives way.
pub const LDAP_CACHE_MAX: usize = 4096;
/// Keys of a key set that sign tokens; more: the set is refused.
pub const TOKEN_KEYS_MAX: usize = 64;
/// Answer of a server of key sets, bytes; longer: it is not read to its end and the keys from before stay.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;
/// Time to ask a server of key sets, with the connection and TLS, ms; then the keys from before stay.
pub const JWKS_FETCH_MS: u64 = 5_000;
/// Time after which keys are asked for again that could not be had, ms.
pub const JWKS_AGAIN_MS: u64 = 30_000;
/// Scopes of a bearer token that are about this broker; more: the login is refused.
pub const TOKEN_SCOPES_MAX: usize = 256;
/// Time for the header of a PROXY protocol and the handshake of TLS together, from accept, ms; then the socket is closed.
pub const TLS_HANDSHAKE_MS: u64 = 5_000;
/// Bytes that wait for a client with TLS, encrypted already or about to be; above: its connection keeps the rest.
pub const TLS_UNSENT_BYTES_MAX: usize = 128 * 1024;
/// Encrypted bytes fetched at once where there is room for what is in them: eight records.
pub const TLS_FETCH_BYTES: usize = 128 * 1024;
/// How often the files of TLS are looked at, ms; new ones are used from then on.
pub const TLS_FILES_LOOK_MS: u64 = 5_000;
/// Longest header of the PROXY protocol version 1, bytes; longer: the socket is closed. Source: the protocol, §2.1.
pub const PROXY_V1_BYTES_MAX: usize = 107;
/// Longest header of version 2 with its extensions, bytes; longer: the socket is closed.
pub const PROXY_V2_BYTES_MAX: usize = 1024;
/// Rows that are sorted where all of them must be held at once; more: 400.
pub const HTTP_SORTED_ROWS_MAX: usize = 100_000;
/// Spans that wait for the collector of traces; more: they are lost, and counted.
pub const OTLP_SPANS_WAITING_MAX: usize = 2_048;
/// Spans sent to the collector at once.
pub const OTLP_BATCH_SPANS_MAX: usize = 512;
/// How long a span waits for company, ms.
pub const OTLP_BATCH_MS: u64 = 1_000;
/// How often a batch is sent to a collector that does not take it; then it is lost, and counted.
pub const OTLP_TRIES_MAX: u32 = 5;
/// The longest first pause before a batch is sent again, ms; each one behind it is twice as long: 15 s in all.
pub const OTLP_PAUSE_MS: u64 = 1_000;
/// Time a collector has for a batch, with the connection and TLS, ms.
pub const OTLP_EXPORT_MS: u64 = 5_000;
/// Time the stop of the broker waits for the collector to take the last spans, ms; then they are lost.
pub const OTLP_FAREWELL_MS: u64 = 2_000;
/// Text of an attribute of a span, bytes; longer: cut.
pub const OTLP_TEXT_BYTES_MAX: usize = 256;
/// Attributes of a span; more: left out.
pub const OTLP_ATTRIBUTES_MAX: u32 = 32;
/// Answer of a collector, bytes; longer: the batch counts as lost.
pub const OTLP_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Time between two samples of what is counted, ms.
pub const HISTORY_SAMPLE_MS: u64 = 5_000;
/// Samples kept of the broker and of each vhost: an hour.
pub const HISTORY_SUM_SAMPLES: usize = 720;
/// Samples kept of a queue, exchange, channel or connection: ten minutes.
pub const HISTORY_OBJECT_SAMPLES: usize = 120;
/// Objects of which samples are kept, about 30 MiB with all their samples; more have no rates until others are forgotten.
pub const HISTORY_OBJECTS_MAX: usize = 1_000;
/// Queues and exchanges together, channels of a vhost, and connections, up to which all are sampled; of more, those that
/// somebody looks at.
pub const HISTORY_ALWAYS_MAX: usize = 200;
/// How long an object is sampled that nobody looks at any more, ms.
pub const HISTORY_WATCHED_MS: u64 = 600_000;
/// Samples of a number in one answer; more: 400.
pub const HISTORY_POINTS_MAX: u64 = 1_000;
