//! Components: addresses beyond the served domain (XEP-0114), of plugins and of programs that connect.

mod accept;
mod plugins;
mod traffic;
