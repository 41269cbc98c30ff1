//! The suite for publishers.

use std::sync::{Arc, Mutex};

use idem_http::{HttpPublisher, cloud_event};
use idem_runtime::Message;
use idem_testing::conformance::{self, BrokerFault, PublishTarget, Unsupported};

use crate::server::{Answer, Request, Server};

/// An endpoint that takes events.
struct Endpoint {
    server: Server,
    fault: Arc<Mutex<Option<BrokerFault>>>,
    arrived: Arc<Mutex<Vec<Message>>>,
}

impl Endpoint {
    /// It refuses an event by this status.
    async fn start(refusal: u16) -> Self {
        let fault = Arc::new(Mutex::new(None));
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (broken, taken) = (fault.clone(), arrived.clone());
        let server = Server::start(move |request, _| {
            let message = decoded(request);
            match *broken.lock().unwrap() {
                Some(BrokerFault::Hang(id)) if id == message.id => return Answer::Silence,
                Some(BrokerFault::Refuse(id)) if id == message.id => {
                    return Answer::Status(refusal, "");
                }
                _ => {}
            }
            taken.lock().unwrap().push(message);
            Answer::Status(202, "")
        })
        .await;
        Self {
            server,
            fault,
            arrived,
        }
    }
}

fn decoded(request: &Request) -> Message {
    let event = cloud_event(&request.headers, request.body.clone()).unwrap();
    event.try_into().unwrap()
}

impl PublishTarget for Endpoint {
    type Publisher = HttpPublisher;

    async fn publisher(&self) -> HttpPublisher {
        HttpPublisher::new(&self.server.url()).unwrap()
    }

    async fn received(&self) -> Vec<Message> {
        std::mem::take(&mut self.arrived.lock().unwrap())
    }

    async fn inject(&self, fault: BrokerFault) -> Result<(), Unsupported> {
        if fault == BrokerFault::Down {
            self.server.take_down().await;
        } else {
            *self.fault.lock().unwrap() = Some(fault);
        }
        Ok(())
    }

    async fn restore(&self) {
        *self.fault.lock().unwrap() = None;
        self.server.restart().await;
    }
}

async fn keeps_what_a_publisher_must(refusal: u16) {
    let endpoint = Endpoint::start(refusal).await;
    let report = conformance::publisher(&endpoint).await;
    report.assert_holds();
    assert_eq!(report.left_out().count(), 0);
}

#[tokio::test]
async fn with_an_endpoint_that_refuses_for_ever() {
    keeps_what_a_publisher_must(422).await;
}

#[tokio::test]
async fn with_an_endpoint_that_refuses_for_now() {
    keeps_what_a_publisher_must(500).await;
}
