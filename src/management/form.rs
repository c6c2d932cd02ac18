//! The one field of an uploaded form that holds a file (`multipart/form-data`, RFC 7578). The body is in memory and bounded
//! by then, so this is a search; the libraries for it stream and decode character sets, which nothing here needs.

/// The content of the field of this name; `None` if there is no such field, or the body is no such form.
pub(super) fn uploaded<'a>(content_type: &str, body: &'a [u8], field: &str) -> Option<&'a [u8]> {
    let boundary = content_type.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    let boundary = boundary.trim_matches('"');
    if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
        return None;
    }
    let line = [b"--", boundary.as_bytes()].concat();
    let mut rest = body.get(find(body, &line)? + line.len()..)?;
    // A part begins behind a line of its own and ends before the next one.
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let head_end = find(part, b"\r\n\r\n")?;
        let (head, behind) = (part.get(..head_end)?, part.get(head_end + 4..)?);
        let end = [b"\r\n", &line[..]].concat();
        let length = find(behind, &end)?;
        if is_named(head, field) {
            return behind.get(..length);
        }
        rest = behind.get(length + end.len()..)?;
    }
    None
}

/// Longest boundary. Source: RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;

fn is_named(head: &[u8], field: &str) -> bool {
    let Ok(head) = str::from_utf8(head) else { return false };
    let is_disposition =
        |line: &&str| line.get(..20).is_some_and(|name| name.eq_ignore_ascii_case("content-disposition:"));
    let Some(disposition) = head.split("\r\n").find(is_disposition) else { return false };
    let name = disposition.split(';').find_map(|part| part.trim().strip_prefix("name="));
    name.is_some_and(|name| name.trim_matches('"') == field)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XX";
    const FORM: &[u8] = b"--XX\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n1\r\n--XX\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"a.json\"\r\nContent-Type: application/json\r\n\r\n\
        {\"a\":\"--\"}\r\n--XX--\r\n";

    #[test]
    fn the_field_asked_for_is_found() {
        assert_eq!(uploaded(TYPE, FORM, "file"), Some(&b"{\"a\":\"--\"}"[..]));
        assert_eq!(uploaded(TYPE, FORM, "other"), Some(&b"1"[..]));
        assert_eq!(uploaded("multipart/form-data; boundary=\"XX\"", FORM, "other"), Some(&b"1"[..]));
    }

    #[test]
    fn what_is_no_such_form_has_no_fields() {
        assert_eq!(uploaded(TYPE, FORM, "nosuch"), None);
        assert_eq!(uploaded("multipart/form-data", FORM, "file"), None);
        assert_eq!(uploaded("multipart/form-data; boundary=YY", FORM, "file"), None);
        for end in 0..FORM.len() - 10 {
            assert_eq!(uploaded(TYPE, &FORM[..end], "file"), None, "cut at {end}");
        }
    }
}
