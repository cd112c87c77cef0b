//! One file per operation: its input, its checks, its effect, its output.

pub(crate) mod create_log_group;
pub(crate) mod create_log_stream;
pub(crate) mod delete_log_group;
pub(crate) mod delete_log_stream;
pub(crate) mod delete_retention_policy;
pub(crate) mod describe_log_groups;
pub(crate) mod describe_log_streams;
pub(crate) mod filter_log_events;
pub(crate) mod get_log_events;
pub(crate) mod list_tags_for_resource;
pub(crate) mod put_log_events;
pub(crate) mod put_retention_policy;
pub(crate) mod tag_resource;
pub(crate) mod untag_resource;

/// Bytes of events in one page of a reading operation.
pub(crate) const PAGE_BYTES: usize = 1024 * 1024;

/// Most events in one page of a reading operation, and how many there are when the caller says nothing.
pub(crate) const PAGE_EVENTS: i64 = 10_000;

/// Largest and default page of a listing operation.
pub(crate) const LISTING: i64 = 50;

/// What the API can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    CreateLogGroup,
    CreateLogStream,
    DeleteLogGroup,
    DeleteLogStream,
    DeleteRetentionPolicy,
    DescribeLogGroups,
    DescribeLogStreams,
    FilterLogEvents,
    GetLogEvents,
    ListTagsForResource,
    PutLogEvents,
    PutRetentionPolicy,
    TagResource,
    UntagResource,
}

impl Operation {
    /// The operation of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "CreateLogGroup" => Self::CreateLogGroup,
            "CreateLogStream" => Self::CreateLogStream,
            "DeleteLogGroup" => Self::DeleteLogGroup,
            "DeleteLogStream" => Self::DeleteLogStream,
            "DeleteRetentionPolicy" => Self::DeleteRetentionPolicy,
            "DescribeLogGroups" => Self::DescribeLogGroups,
            "DescribeLogStreams" => Self::DescribeLogStreams,
            "FilterLogEvents" => Self::FilterLogEvents,
            "GetLogEvents" => Self::GetLogEvents,
            "ListTagsForResource" => Self::ListTagsForResource,
            "PutLogEvents" => Self::PutLogEvents,
            "PutRetentionPolicy" => Self::PutRetentionPolicy,
            "TagResource" => Self::TagResource,
            "UntagResource" => Self::UntagResource,
            _ => return None,
        })
    }
}
