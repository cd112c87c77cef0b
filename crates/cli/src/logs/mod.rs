//! Reading a function's log without missing or repeating an event.

mod cursor;
mod line;

use crate::client::{Client, ClientError, FilterQuery, LoggedEvent};

pub(crate) use cursor::Cursor;
pub(crate) use line::{LogLine, Report};

/// The log group of a function: its bare name, whatever form of it the user gave.
pub(crate) fn group_of(function: &str) -> String {
    match lambd_types::FunctionRef::parse(function) {
        Ok(reference) => format!("/aws/lambda/{}", reference.name),
        // The daemon says what is wrong with the name.
        Err(_) => format!("/aws/lambda/{function}"),
    }
}

/// Everything that is new to `cursor`, oldest first. A log group that does not exist yet is empty.
pub(crate) async fn read_new(
    client: &Client,
    group: &str,
    cursor: &mut Cursor,
) -> Result<Vec<LoggedEvent>, ClientError> {
    match read_range(client, group, cursor.start_time()).await {
        Ok(events) => Ok(cursor.take_new(events)),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// All events since `start_time`, page by page.
pub(crate) async fn read_range(
    client: &Client,
    group: &str,
    start_time: i64,
) -> Result<Vec<LoggedEvent>, ClientError> {
    let mut events = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let query = FilterQuery { log_group_name: group, start_time, next_token: token.as_deref() };
        let page = client.filter_log_events(&query).await?;
        events.extend(page.events);
        // The same token twice is how some CloudWatch calls say that there is no more.
        if page.next_token.is_none() || page.next_token == token {
            return Ok(events);
        }
        token = page.next_token;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn groups_are_named_by_the_bare_name() {
        assert_eq!(super::group_of("hello"), "/aws/lambda/hello");
        assert_eq!(super::group_of("hello:live"), "/aws/lambda/hello");
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:hello:1";
        assert_eq!(super::group_of(arn), "/aws/lambda/hello");
        assert_eq!(super::group_of("no name"), "/aws/lambda/no name");
    }
}
