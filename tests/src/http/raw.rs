//! HTTP/1.1 by hand (RFC 9112): any bytes out, and just enough parsing to read what comes back.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::{Answer, PATIENCE};

/// Sends `request` on a connection of its own and reads one answer. The request must not be one for HEAD.
pub fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> io::Result<Answer> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    // A server may answer and close before it has read all of a request that it refuses.
    let _ = socket.write_all(request.as_ref());
    read_answer(&mut BufReader::new(socket))
}

/// Reads one answer with its body.
pub fn read_answer(reader: &mut impl BufRead) -> io::Result<Answer> {
    let mut answer = read_head(reader)?;
    answer.body = body(reader, &answer)?;
    Ok(answer)
}

/// Reads the head of an answer, whose body is left to be read.
pub(super) fn read_head(reader: &mut impl BufRead) -> io::Result<Answer> {
    let status_line = line(reader)?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| broken(&status_line))?;
    let mut headers = Vec::new();
    loop {
        let field = line(reader)?;
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(':').ok_or_else(|| broken(&field))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Answer { status, headers, body: Vec::new() })
}

/// The body, by its framing (RFC 9112 section 6.3).
fn body(reader: &mut impl BufRead, head: &Answer) -> io::Result<Vec<u8>> {
    if matches!(head.status, 100..=199 | 204 | 304) {
        return Ok(Vec::new());
    }
    if head.header("transfer-encoding").is_some() {
        return chunks(reader);
    }
    let mut body = Vec::new();
    match head.header("content-length") {
        None => {
            reader.read_to_end(&mut body)?;
        }
        Some(length) => {
            body.resize(length.parse().map_err(|_| broken(length))?, 0);
            reader.read_exact(&mut body)?;
        }
    }
    Ok(body)
}

/// A chunked body (RFC 9112 section 7.1), without trailers.
fn chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(reader)?;
        let length = u64::from_str_radix(size.trim(), 16).map_err(|_| broken(&size))?;
        reader.take(length).read_to_end(&mut body)?;
        if !line(reader)?.is_empty() {
            return Err(broken("a chunk without its end"));
        }
        if length == 0 {
            return Ok(body);
        }
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let text = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {what:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_framings_are_read_and_nothing_behind_them() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n";
        let mut both = [sized.as_slice(), chunked].concat();
        both.extend_from_slice(b"rest");
        let mut reader = both.as_slice();
        assert_eq!(read_answer(&mut reader).unwrap().body, b"hi");
        assert_eq!(read_answer(&mut reader).unwrap().body, b"hi");
        assert_eq!(reader, b"rest");
    }
}
