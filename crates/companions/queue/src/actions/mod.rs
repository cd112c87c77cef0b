//! One file per operation: its input, its checks, its effect, its output.

mod add_permission;
mod cancel_message_move_task;
mod change_message_visibility;
mod change_message_visibility_batch;
mod create_queue;
mod delete_message;
mod delete_message_batch;
mod delete_queue;
mod get_queue_attributes;
mod get_queue_url;
mod list_dead_letter_source_queues;
mod list_message_move_tasks;
mod list_queue_tags;
mod list_queues;
mod paging;
mod purge_queue;
mod receive_message;
mod remove_permission;
mod send_message;
mod send_message_batch;
mod set_queue_attributes;
mod start_message_move_task;
mod tag_queue;
mod untag_queue;

use lambd_http::AwsResponse;

use crate::error::SqsError;
use crate::service::{Context, Input};
use crate::wire::Protocol;

/// What the API can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    AddPermission,
    CancelMessageMoveTask,
    ChangeMessageVisibility,
    ChangeMessageVisibilityBatch,
    CreateQueue,
    DeleteMessage,
    DeleteMessageBatch,
    DeleteQueue,
    GetQueueAttributes,
    GetQueueUrl,
    ListDeadLetterSourceQueues,
    ListMessageMoveTasks,
    ListQueues,
    ListQueueTags,
    PurgeQueue,
    ReceiveMessage,
    RemovePermission,
    SendMessage,
    SendMessageBatch,
    SetQueueAttributes,
    StartMessageMoveTask,
    TagQueue,
    UntagQueue,
}

impl Operation {
    /// The operation of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "AddPermission" => Self::AddPermission,
            "CancelMessageMoveTask" => Self::CancelMessageMoveTask,
            "ChangeMessageVisibility" => Self::ChangeMessageVisibility,
            "ChangeMessageVisibilityBatch" => Self::ChangeMessageVisibilityBatch,
            "CreateQueue" => Self::CreateQueue,
            "DeleteMessage" => Self::DeleteMessage,
            "DeleteMessageBatch" => Self::DeleteMessageBatch,
            "DeleteQueue" => Self::DeleteQueue,
            "GetQueueAttributes" => Self::GetQueueAttributes,
            "GetQueueUrl" => Self::GetQueueUrl,
            "ListDeadLetterSourceQueues" => Self::ListDeadLetterSourceQueues,
            "ListMessageMoveTasks" => Self::ListMessageMoveTasks,
            "ListQueues" => Self::ListQueues,
            "ListQueueTags" => Self::ListQueueTags,
            "PurgeQueue" => Self::PurgeQueue,
            "ReceiveMessage" => Self::ReceiveMessage,
            "RemovePermission" => Self::RemovePermission,
            "SendMessage" => Self::SendMessage,
            "SendMessageBatch" => Self::SendMessageBatch,
            "SetQueueAttributes" => Self::SetQueueAttributes,
            "StartMessageMoveTask" => Self::StartMessageMoveTask,
            "TagQueue" => Self::TagQueue,
            "UntagQueue" => Self::UntagQueue,
            _ => return None,
        })
    }

    /// Answers a request for it.
    pub(crate) async fn run(
        self,
        cx: &Context<'_>,
        input: Input<'_>,
        protocol: Protocol,
    ) -> Result<AwsResponse, SqsError> {
        let id = cx.head.request_id.as_str();
        macro_rules! some {
            ($action:ident) => {{
                let output = $action::run(cx, input.read()?).await?;
                Ok(protocol.reply(cx.action, id, &output))
            }};
        }
        macro_rules! none {
            ($action:ident) => {{
                $action::run(cx, input.read()?).await?;
                Ok(protocol.reply_empty(cx.action, id))
            }};
        }
        match self {
            Self::AddPermission => none!(add_permission),
            Self::CancelMessageMoveTask => some!(cancel_message_move_task),
            Self::ChangeMessageVisibility => none!(change_message_visibility),
            Self::ChangeMessageVisibilityBatch => some!(change_message_visibility_batch),
            Self::CreateQueue => some!(create_queue),
            Self::DeleteMessage => none!(delete_message),
            Self::DeleteMessageBatch => some!(delete_message_batch),
            Self::DeleteQueue => none!(delete_queue),
            Self::GetQueueAttributes => some!(get_queue_attributes),
            Self::GetQueueUrl => some!(get_queue_url),
            Self::ListDeadLetterSourceQueues => some!(list_dead_letter_source_queues),
            Self::ListMessageMoveTasks => some!(list_message_move_tasks),
            Self::ListQueues => some!(list_queues),
            Self::ListQueueTags => some!(list_queue_tags),
            Self::PurgeQueue => none!(purge_queue),
            Self::ReceiveMessage => some!(receive_message),
            Self::RemovePermission => none!(remove_permission),
            Self::SendMessage => some!(send_message),
            Self::SendMessageBatch => some!(send_message_batch),
            Self::SetQueueAttributes => none!(set_queue_attributes),
            Self::StartMessageMoveTask => some!(start_message_move_task),
            Self::TagQueue => none!(tag_queue),
            Self::UntagQueue => none!(untag_queue),
        }
    }
}
