//! Encoding and decoding between core types and protobuf bytes. Knows nothing about sockets.
