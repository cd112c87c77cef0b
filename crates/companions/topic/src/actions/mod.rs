//! What the API can be asked: one file per kind of resource.

mod data_protection;
mod permissions;
mod publication;
mod publish;
mod subscription_attributes;
mod subscriptions;
mod tags;
mod topic_attributes;
mod topics;
mod unsupported;

use lambd_http::protocol::query::{Params, Xml};
use lambd_store::topics::Texts;

use crate::error::SnsError;
use crate::service::{Context, Reply};

macro_rules! operations {
    (offered { $($name:ident => $module:ident::$function:ident,)+ } unsupported { $($refused:ident => $what:literal,)+ }) => {
        /// The operations of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Operation {
            $($name,)+
            $($refused,)+
        }

        impl Operation {
            /// The operation of that name.
            pub(crate) fn parse(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)+
                    $(stringify!($refused) => Some(Self::$refused),)+
                    _ => None,
                }
            }

            /// Performs it.
            pub(crate) async fn run(self, cx: &Context<'_>) -> Result<Reply, SnsError> {
                match self {
                    $(Self::$name => $module::$function(cx).await,)+
                    $(Self::$refused => Err(SnsError::Unsupported(stringify!($refused), $what)),)+
                }
            }
        }
    };
}

operations! {
    offered {
    AddPermission => permissions::add,
    ConfirmSubscription => subscriptions::confirm,
    CreateTopic => topics::create,
    DeleteTopic => topics::delete,
    GetDataProtectionPolicy => data_protection::get,
    GetSubscriptionAttributes => subscription_attributes::get,
    GetTopicAttributes => topic_attributes::get,
    ListPlatformApplications => unsupported::no_platform_applications,
    ListSubscriptions => subscriptions::list,
    ListSubscriptionsByTopic => subscriptions::list_by_topic,
    ListTagsForResource => tags::list,
    ListTopics => topics::list,
    Publish => publish::one,
    PublishBatch => publish::batch,
    PutDataProtectionPolicy => data_protection::put,
    RemovePermission => permissions::remove,
    SetSubscriptionAttributes => subscription_attributes::set,
    SetTopicAttributes => topic_attributes::set,
    Subscribe => subscriptions::subscribe,
    TagResource => tags::tag,
    Unsubscribe => subscriptions::unsubscribe,
    UntagResource => tags::untag,
    }
    unsupported {
        CheckIfPhoneNumberIsOptedOut => "way to send SMS",
        CreatePlatformApplication => "way to push to devices",
        CreatePlatformEndpoint => "way to push to devices",
        CreateSMSSandboxPhoneNumber => "way to send SMS",
        DeleteEndpoint => "way to push to devices",
        DeletePlatformApplication => "way to push to devices",
        DeleteSMSSandboxPhoneNumber => "way to send SMS",
        GetEndpointAttributes => "way to push to devices",
        GetPlatformApplicationAttributes => "way to push to devices",
        GetSMSAttributes => "way to send SMS",
        GetSMSSandboxAccountStatus => "way to send SMS",
        ListEndpointsByPlatformApplication => "way to push to devices",
        ListOriginationNumbers => "way to send SMS",
        ListPhoneNumbersOptedOut => "way to send SMS",
        ListSMSSandboxPhoneNumbers => "way to send SMS",
        OptInPhoneNumber => "way to send SMS",
        SetEndpointAttributes => "way to push to devices",
        SetPlatformApplicationAttributes => "way to push to devices",
        SetSMSAttributes => "way to send SMS",
        VerifySMSSandboxPhoneNumber => "way to send SMS",
    }
}

/// Entries of a page of a list.
const PAGE: usize = 100;

/// `Attributes` of a request.
fn attributes_of(params: &Params) -> Texts {
    let entries = params.entries("Attributes");
    let pair = |entry: &lambd_http::protocol::query::Member<'_>| {
        Some((entry.get("key")?.to_owned(), entry.get("value").unwrap_or_default().to_owned()))
    };
    entries.iter().filter_map(pair).collect()
}

/// `Attributes` of an answer.
fn attributes_into(xml: &mut Xml, attributes: &Texts) {
    xml.element("Attributes", |xml| {
        for (key, value) in attributes {
            xml.element("entry", |xml| {
                xml.text("key", key).text("value", value);
            });
        }
    });
}

/// Splits what was read beyond a page off; returns whether there was more.
fn cut<T>(rows: &mut Vec<T>) -> bool {
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    more
}
