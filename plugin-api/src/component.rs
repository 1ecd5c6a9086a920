//! The XMPP address of a plugin.

use abi_stable::std_types::RString;

use crate::{Error, Host, Result, abi::wire::Status, host::done};

impl Host {
    /// The XMPP address of this plugin, `<plugin id>.<domain>`. What users and components send there comes to
    /// [`Plugin::stanza`](crate::Plugin::stanza), once this version is in service.
    pub fn address(self) -> Result<String> {
        let table = self.need(self.tables().component)?;
        let mut address = RString::new();
        done(table.address()(self.tables().context, &mut address))?;
        Ok(address.into())
    }

    /// Sends one stanza, written as in a client's stream, to whom it names in `to`: a user of this server, or a component. Its `from` is
    /// the plugin's [`address`](Host::address) or one at it, such as `bot@<address>`.
    ///
    /// It returns at once. Stanzas leave in the order of the calls; one that can't be delivered comes back as an error stanza.
    ///
    /// # Errors
    /// It is no such stanza, or a thousand wait already.
    pub fn send(self, stanza: &str) -> Result<()> {
        let table = self.need(self.tables().component)?;
        match table.send()(self.tables().context, stanza.into()) {
            Status::INVALID => {
                Err(Error::new("not one stanza with a `to`, and a `from` at this plugin's address; the log says why"))
            }
            status => done(status),
        }
    }
}
