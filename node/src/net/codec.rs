//! How requests and responses are framed: a length, then the bytes, up to a limit.

use std::io;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::{StreamProtocol, request_response};

/// Bytes that are reserved before a peer has sent them.
const FIRST_BYTES: usize = 4 * 1024;

/// Requests and responses as they are: four bytes of length, big-endian, and the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Codec {
    pub(super) request_bytes: usize,
    pub(super) response_bytes: usize,
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.request_bytes).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.response_bytes).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &request, self.request_bytes).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &response, self.response_bytes).await
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "longer than allowed")
}

async fn read<T: AsyncRead + Unpin>(io: &mut T, most: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length);
    let expected = usize::try_from(length)
        .ok()
        .filter(|length| *length <= most);
    let expected = expected.ok_or_else(too_long)?;
    let mut bytes = Vec::with_capacity(expected.min(FIRST_BYTES));
    io.take(u64::from(length)).read_to_end(&mut bytes).await?;
    if bytes.len() == expected {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

async fn write<T: AsyncWrite + Unpin>(io: &mut T, bytes: &[u8], most: usize) -> io::Result<()> {
    let length = u32::try_from(bytes.len())
        .ok()
        .filter(|_| bytes.len() <= most);
    let length = length.ok_or_else(too_long)?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(bytes).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::*;

    fn read_all(mut bytes: &[u8], most: usize) -> io::Result<Vec<u8>> {
        block_on(read(&mut bytes, most))
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_it_is_believed() {
        let error = read_all(&[0xff, 0xff, 0xff, 0xff, 1], 64).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut out = Vec::new();
        assert!(block_on(write(&mut out, &[0; 65], 64)).is_err());
        assert!(out.is_empty());
    }

    #[test]
    fn a_cut_message_is_an_error() {
        let error = read_all(&[0, 0, 0, 3, 1, 2], 64).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    proptest! {
        #[test]
        fn messages_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            block_on(write(&mut out, &bytes, 300)).unwrap();
            prop_assert_eq!(read_all(&out, 300).unwrap(), bytes);
        }

        #[test]
        fn any_bytes_are_a_message_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = read_all(&bytes, 64) {
                prop_assert!(message.len() <= 64);
                prop_assert_eq!(message.as_slice(), &bytes[4..4 + message.len()]);
            }
        }
    }
}
