//! `invoke`'s destinations: `outbound`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use lambd_invoke::ports::{Content, DeliveryError, Destinations, Parcel};
use lambd_outbound::events::{BusArn, BusEvent, Buses};
use lambd_outbound::s3::{Location, Objects};
use lambd_outbound::sns::{TopicArn, Topics};
use lambd_outbound::sqs::{Attribute, AttributeValue, Outgoing, QueueName, Queues};
use lambd_outbound::{Client, Credentials, Endpoint, EndpointError, ServiceError};
use lambd_types::{Clock, UnixMillis};

/// Services of AWS, or what speaks their protocols.
pub(crate) struct OutboundDestinations {
    queues: Queues,
    topics: Topics,
    buses: Option<Buses>,
    objects: Option<Objects>,
    credentials: Option<Credentials>,
    /// Requests are signed by the machine's clock: that of the queue may be moved.
    clock: Arc<dyn Clock>,
}

/// Where the services are, if not in this daemon.
pub(crate) struct Elsewhere {
    pub(crate) sqs: Option<String>,
    pub(crate) sns: Option<String>,
    pub(crate) eventbridge: Option<String>,
    pub(crate) objects: Option<Objects>,
}

impl OutboundDestinations {
    /// Queues and topics are at `own`, this daemon, unless they are elsewhere; buses and buckets are elsewhere only.
    pub(crate) fn new(
        own: SocketAddr,
        elsewhere: Elsewhere,
        credentials: Option<Credentials>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EndpointError> {
        let client = Client::default();
        let own = format!("http://{}", reachable(own));
        // The daemon itself takes an access key for the account; others want their own key.
        let keys = |url: &Option<String>| if url.is_some() { credentials.clone() } else { None };
        let endpoint = |url: &Option<String>| url.as_ref().unwrap_or(&own).parse::<Endpoint>();
        let buses = elsewhere
            .eventbridge
            .map(|url| Ok(Buses::new(client.clone(), url.parse()?, credentials.clone())));
        Ok(Self {
            queues: Queues::new(client.clone(), endpoint(&elsewhere.sqs)?, keys(&elsewhere.sqs)),
            topics: Topics::new(client.clone(), endpoint(&elsewhere.sns)?, keys(&elsewhere.sns)),
            buses: buses.transpose()?,
            objects: elsewhere.objects,
            credentials,
            clock,
        })
    }

    async fn to_queue(&self, parcel: &Parcel, queue: &QueueName) -> Result<(), DeliveryError> {
        let (body, attributes) = message(parcel);
        let outgoing = Outgoing {
            body,
            attributes: &attributes,
            trace_header: Some(&parcel.trace),
            ..Outgoing::default()
        };
        self.queues.send(queue, outgoing, self.clock.now()).await.map(drop).map_err(delivery_error)
    }

    async fn to_topic(&self, parcel: &Parcel, topic: &TopicArn) -> Result<(), DeliveryError> {
        let (body, attributes) = message(parcel);
        let published =
            self.topics.publish(topic, body, &attributes, Some(&parcel.trace), self.clock.now()).await;
        published.map_err(delivery_error)
    }

    async fn to_bus(&self, parcel: &Parcel, bus: &BusArn) -> Result<(), DeliveryError> {
        let Some(buses) = &self.buses else {
            return Err(refused("no EventBridge is configured: start lambd with --eventbridge-endpoint"));
        };
        let success = matches!(parcel.content, Content::Record { success: true, .. });
        let event = BusEvent {
            source: "lambda",
            detail_type: if success {
                "Lambda Function Invocation Result - Success"
            } else {
                "Lambda Function Invocation Result - Failure"
            },
            detail: message(parcel).0,
            resources: &[&parcel.destination, &parcel.function_arn],
            trace_header: &parcel.trace,
        };
        buses.put(bus, event, self.clock.now()).await.map_err(delivery_error)
    }

    async fn to_bucket(&self, parcel: &Parcel, bucket: &str) -> Result<(), DeliveryError> {
        let Some(objects) = &self.objects else {
            return Err(refused("no object store is configured: start lambd with --s3-endpoint"));
        };
        let own = || Credentials::of_account(&parcel.scope.account);
        let credentials = self.credentials.clone().unwrap_or_else(own);
        let location = Location { bucket: bucket.to_owned(), key: object_key(parcel), version: None };
        let document = message(parcel).0.to_owned();
        let region = &parcel.scope.region;
        let put = objects.put_json(&location, document, region, &credentials, self.clock.now()).await;
        put.map_err(delivery_error)
    }
}

impl Destinations for OutboundDestinations {
    fn deliver(&self, parcel: Parcel) -> BoxFuture<'_, Result<(), DeliveryError>> {
        Box::pin(async move {
            let arn = &parcel.destination;
            let result = if let Some(queue) = QueueName::of_arn(arn) {
                self.to_queue(&parcel, &queue).await
            } else if let Some(topic) = TopicArn::parse(arn) {
                self.to_topic(&parcel, &topic).await
            } else if let Some(bus) = BusArn::parse(arn) {
                self.to_bus(&parcel, &bus).await
            } else if let Some((_, bucket)) = arn.split_once(":s3:::") {
                self.to_bucket(&parcel, bucket).await
            } else {
                Err(refused("not a queue, topic, event bus or bucket"))
            };
            result.map_err(|error| match error {
                DeliveryError::Refused(text) => DeliveryError::Refused(format!("{arn}: {text}")),
                DeliveryError::Later(text) => DeliveryError::Later(format!("{arn}: {text}")),
            })
        })
    }
}

/// Body and attributes of a message: those of dead letters are CORE-277's.
fn message(parcel: &Parcel) -> (&str, Vec<Attribute>) {
    match &parcel.content {
        Content::Record { document, .. } => (document, Vec::new()),
        Content::DeadLetter { event, code, message } => {
            let attribute = |name: &str, data_type: &str, value: String| Attribute {
                name: name.to_owned(),
                data_type: data_type.to_owned(),
                value: AttributeValue::Text(value),
            };
            let attributes = vec![
                attribute("RequestID", "String", parcel.request_id.clone()),
                attribute("ErrorCode", "Number", code.to_string()),
                attribute("ErrorMessage", "String", message.clone()),
            ];
            (event, attributes)
        }
    }
}

/// `aws/lambda/async/my-function/2019/11/14/2019-11-14T18.16.05-<request id>`, as the service names its objects; the
/// request's id makes a repetition the same object.
fn object_key(parcel: &Parcel) -> String {
    let at: UnixMillis = parcel.at;
    let (day, (hour, minute, second, _)) = (at.day(), at.time());
    let folder = day.replace('-', "/");
    let Parcel { name, request_id, .. } = parcel;
    format!("aws/lambda/async/{name}/{folder}/{day}T{hour:02}.{minute:02}.{second:02}-{request_id}")
}

fn refused(text: &str) -> DeliveryError {
    DeliveryError::Refused(text.to_owned())
}

fn delivery_error(error: ServiceError) -> DeliveryError {
    if error.is_transient() {
        DeliveryError::Later(error.to_string())
    } else {
        DeliveryError::Refused(error.to_string())
    }
}

/// The address at which this machine reaches a listener.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
