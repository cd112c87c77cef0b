//! AWS's own managed policies. Any of them can be attached; of those that functions usually have, the
//! document is known too.

/// `arn:aws:iam::aws:policy/` of any partition, as path and name.
pub(crate) fn parse(arn: &str) -> Option<(&str, &str)> {
    let resource = arn.strip_prefix("arn:aws")?.split_once(":iam::aws:policy/")?;
    let at = arn.len() - resource.1.len() - 1;
    let full = &arn[at..];
    let (path, name) = full.split_at(full.rfind('/')? + 1);
    (!name.is_empty()).then_some((path, name))
}

/// The document of a managed policy, when it is known.
pub(crate) fn document(path: &str, name: &str) -> Option<String> {
    let known = KNOWN.iter().find(|k| k.path == path && k.name == name)?;
    let actions = serde_json::to_string(known.actions).unwrap_or_default();
    Some(format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{actions},"Resource":"*"}}]}}"#
    ))
}

/// The ARNs of the policies whose document is known.
pub(crate) fn known_arns() -> impl Iterator<Item = String> {
    KNOWN.iter().map(|k| format!("arn:aws:iam::aws:policy{}{}", k.path, k.name))
}

struct Known {
    path: &'static str,
    name: &'static str,
    actions: &'static [&'static str],
}

const SERVICE_ROLE: &str = "/service-role/";

const KNOWN: &[Known] = &[
    Known {
        path: SERVICE_ROLE,
        name: "AWSLambdaBasicExecutionRole",
        actions: &["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
    },
    Known {
        path: SERVICE_ROLE,
        name: "AWSLambdaDynamoDBExecutionRole",
        actions: &[
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    },
    Known {
        path: SERVICE_ROLE,
        name: "AWSLambdaKinesisExecutionRole",
        actions: &[
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
            "kinesis:ListStreams",
            "kinesis:SubscribeToShard",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    },
    Known {
        path: SERVICE_ROLE,
        name: "AWSLambdaSQSQueueExecutionRole",
        actions: &[
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    },
    Known {
        path: "/",
        name: "AWSXRayDaemonWriteAccess",
        actions: &[
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
            "xray:GetSamplingStatisticSummaries",
        ],
    },
    Known { path: "/", name: "AdministratorAccess", actions: &["*"] },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_have_path_and_name() {
        let arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
        assert_eq!(parse(arn), Some(("/service-role/", "AWSLambdaBasicExecutionRole")));
        assert_eq!(parse("arn:aws-cn:iam::aws:policy/ReadOnlyAccess"), Some(("/", "ReadOnlyAccess")));
        assert_eq!(parse("arn:aws:iam::123456789012:policy/p"), None);
        assert_eq!(parse("arn:aws:iam::aws:policy/"), None);
        assert!(
            known_arns().all(|arn| parse(&arn).is_some_and(|(path, name)| document(path, name).is_some()))
        );
    }
}
