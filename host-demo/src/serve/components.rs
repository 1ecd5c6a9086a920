//! The listener of components, where one is configured.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    config,
    xmpp::{component::Server, connection::NEGOTIATION, hub::Hub, listener},
};

/// Components are let in.
pub(super) struct Components {
    pub server: Arc<Server>,
    stop: watch::Sender<bool>,
    pub ended: JoinHandle<()>,
}

impl Components {
    pub fn listen(listener: TcpListener, config: &config::Components, hub: Arc<Hub>) -> Components {
        let secrets = ArcSwap::from_pointee(config.secrets.clone());
        let server = Arc::new(Server { hub, secrets, patience: NEGOTIATION });
        let (stop, mut stopped) = watch::channel(false);
        let shutdown = async move {
            // Fails when this server is gone, which is an end too.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let ended = tokio::spawn(listener::run_components(listener, server.clone(), shutdown));
        Components { server, stop, ended }
    }

    /// Says goodbye to all of them.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}
