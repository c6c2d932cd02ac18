//! Floor 1: bytes to typed frames and back. Pure and bounded: no socket, no clock; nothing a peer sends makes it panic,
//! recurse or allocate by a length it has not checked. The only user of `amq_protocol`, which generates the control
//! methods the broker sends; what comes in, and every hot frame going out, is coded by hand over borrowed slices.

mod client_codec;
pub mod client_method;
pub mod content;
pub mod frame;
pub mod header_keys;
pub mod json;
pub mod method_id;
pub mod outbound;
pub mod properties;
pub mod protocol_header;
pub mod publish_codec;
pub mod reply;
pub mod sasl;
pub mod server_method;
pub mod server_properties;
pub mod table;
pub mod value;
pub mod wire;
