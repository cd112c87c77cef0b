//! The services behind a real listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lambd_http::{BoundListener, CallerDefaults, Router, Server};
use lambd_identity::{IamService, StsService};
use lambd_store::{DataDir, Store};
use lambd_types::{AccountId, ManualClock, Region, UnixMillis};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const ALLOW: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
const BASIC: &str = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";

struct Fixture {
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

async fn start() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap());
    let clock = Arc::new(ManualClock::at(UnixMillis(1_579_303_152_000)));
    let services: Router =
        Router::new(vec![Arc::new(IamService::new(store, clock)), Arc::new(StsService::new())]);
    let listener = BoundListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let defaults = CallerDefaults {
        account: AccountId::default_local(),
        region: Region::default_local(),
        confined: false,
    };
    tokio::spawn(Server::new(services, defaults).run(listener, std::future::pending(), Duration::ZERO));
    Fixture { address, _dir: dir }
}

impl Fixture {
    /// Sends a form with a credential for `service` and returns status and body.
    async fn send(&self, key: &str, service: &str, form: &str) -> (u16, String) {
        let authorization = match key {
            "" => String::new(),
            key => format!(
                "authorization: AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/{service}/aws4_request, \
                 SignedHeaders=host, Signature=0\r\n"
            ),
        };
        let request = format!(
            "POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded; charset=utf-8\r\n{authorization}\
             content-length: {}\r\n\r\n{form}",
            form.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("content-type: text/xml"), "{head}");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn iam(&self, action: &str, members: &[(&str, &str)]) -> (u16, String) {
        let mut form = format!("Action={action}&Version=2010-05-08");
        for (name, value) in members {
            form.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        }
        self.send("test", "iam", &form).await
    }

    async fn ok(&self, action: &str, members: &[(&str, &str)]) -> String {
        let (status, body) = self.iam(action, members).await;
        assert_eq!(status, 200, "{action}: {body}");
        assert!(
            body.contains(&format!("<{action}Response xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">"))
        );
        body
    }

    /// The operation must fail with this status, code and message.
    async fn fails(&self, action: &str, members: &[(&str, &str)], status: u16, code: &str, message: &str) {
        let (got, body) = self.iam(action, members).await;
        assert_eq!(got, status, "{action}: {body}");
        assert!(body.contains(&format!("<Type>Sender</Type><Code>{code}</Code>")), "{body}");
        assert!(body.contains(message), "{body}");
    }
}

/// CORE-053, EX-4
#[tokio::test]
async fn a_role_is_made_read_listed_and_deleted() {
    let f = start().await;
    let made = f.ok("CreateRole", &[("RoleName", "lambda-ex"), ("AssumeRolePolicyDocument", TRUST)]).await;
    assert!(
        made.contains("<CreateRoleResult><Role><Path>/</Path><RoleName>lambda-ex</RoleName><RoleId>AROA")
    );
    assert!(made.contains("<Arn>arn:aws:iam::000000000000:role/lambda-ex</Arn>"));
    assert!(
        made.contains(
            "<CreateDate>2020-01-17T23:19:12Z</CreateDate><AssumeRolePolicyDocument>%7B%22Version%22"
        )
    );
    let twice = [("RoleName", "lambda-ex"), ("AssumeRolePolicyDocument", TRUST)];
    f.fails("CreateRole", &twice, 409, "EntityAlreadyExists", "Role with name lambda-ex already exists.")
        .await;
    let read = f.ok("GetRole", &[("RoleName", "lambda-ex")]).await;
    assert!(read.contains("<MaxSessionDuration>3600</MaxSessionDuration>"));
    f.ok("CreateRole", &[("RoleName", "other"), ("AssumeRolePolicyDocument", TRUST), ("Path", "/a/")]).await;
    let page = f.ok("ListRoles", &[("MaxItems", "1")]).await;
    assert!(page.contains("<IsTruncated>true</IsTruncated>") && !page.contains("other"));
    let marker = page.split_once("<Marker>").unwrap().1.split_once('<').unwrap().0;
    let page = f.ok("ListRoles", &[("MaxItems", "1"), ("Marker", marker)]).await;
    assert!(page.contains(":role/a/other</Arn>") && page.contains("<IsTruncated>false</IsTruncated>"));
    f.ok("DeleteRole", &[("RoleName", "lambda-ex")]).await;
    let gone = "The role with name lambda-ex cannot be found.";
    f.fails("GetRole", &[("RoleName", "lambda-ex")], 404, "NoSuchEntity", gone).await;
}

/// CORE-054: AWS's policies can be attached although nobody made them.
#[tokio::test]
async fn policies_are_attached_and_hold_their_role() {
    let f = start().await;
    let role = ("RoleName", "r");
    f.ok("CreateRole", &[role, ("AssumeRolePolicyDocument", TRUST)]).await;
    f.ok("AttachRolePolicy", &[role, ("PolicyArn", BASIC)]).await;
    let list = f.ok("ListAttachedRolePolicies", &[role]).await;
    assert!(list.contains(
        "<member><PolicyName>AWSLambdaBasicExecutionRole</PolicyName><PolicyArn>arn:aws:iam::aws:"
    ));
    let conflict = "Cannot delete entity, must detach all policies first.";
    f.fails("DeleteRole", &[role], 409, "DeleteConflict", conflict).await;
    f.ok("DetachRolePolicy", &[role, ("PolicyArn", BASIC)]).await;
    f.fails("DetachRolePolicy", &[role, ("PolicyArn", BASIC)], 404, "NoSuchEntity", "was not found.").await;
    f.ok("PutRolePolicy", &[role, ("PolicyName", "in"), ("PolicyDocument", ALLOW)]).await;
    assert!(
        f.ok("ListRolePolicies", &[role]).await.contains("<PolicyNames><member>in</member></PolicyNames>")
    );
    assert!(f.ok("GetRolePolicy", &[role, ("PolicyName", "in")]).await.contains("<PolicyDocument>%7B"));
    f.fails("DeleteRole", &[role], 409, "DeleteConflict", "must delete policies first.").await;
    f.ok("DeleteRolePolicy", &[role, ("PolicyName", "in")]).await;
    assert!(
        f.ok("ListInstanceProfilesForRole", &[role]).await.contains("<InstanceProfiles></InstanceProfiles>")
    );
    f.ok("DeleteRole", &[role]).await;
}

#[tokio::test]
async fn managed_policies_have_versions() {
    let f = start().await;
    f.ok("CreatePolicy", &[("PolicyName", "p"), ("Path", "/x/"), ("PolicyDocument", ALLOW)]).await;
    let arn = ("PolicyArn", "arn:aws:iam::000000000000:policy/x/p");
    f.ok("CreatePolicyVersion", &[arn, ("PolicyDocument", ALLOW), ("SetAsDefault", "true")]).await;
    assert!(f.ok("GetPolicy", &[arn]).await.contains("<DefaultVersionId>v2</DefaultVersionId>"));
    assert!(f.ok("GetPolicyVersion", &[arn, ("VersionId", "v1")]).await.contains("<IsDefaultVersion>false<"));
    f.fails("DeletePolicy", &[arn], 409, "DeleteConflict", "more than one version").await;
    f.ok("DeletePolicyVersion", &[arn, ("VersionId", "v1")]).await;
    assert!(f.ok("ListPolicies", &[("Scope", "Local")]).await.contains("<PolicyName>p</PolicyName>"));
    assert!(f.ok("ListPolicies", &[("Scope", "AWS")]).await.contains(BASIC));
    assert!(
        f.ok("GetPolicyVersion", &[("PolicyArn", BASIC), ("VersionId", "v1")])
            .await
            .contains("logs%3APutLogEvents")
    );
    f.ok("DeletePolicy", &[arn]).await;
    f.fails("GetPolicy", &[arn], 404, "NoSuchEntity", "was not found.").await;
}

#[tokio::test]
async fn tags_and_updates_of_a_role() {
    let f = start().await;
    let role = ("RoleName", "r");
    f.ok(
        "CreateRole",
        &[
            role,
            ("AssumeRolePolicyDocument", TRUST),
            ("Tags.member.1.Key", "a"),
            ("Tags.member.1.Value", "1"),
        ],
    )
    .await;
    f.ok("TagRole", &[role, ("Tags.member.1.Key", "b"), ("Tags.member.1.Value", "2")]).await;
    f.ok("UntagRole", &[role, ("TagKeys.member.1", "a")]).await;
    let tags = f.ok("ListRoleTags", &[role]).await;
    assert!(tags.contains("<Tags><member><Key>b</Key><Value>2</Value></member></Tags>"), "{tags}");
    f.ok("UpdateRole", &[role, ("Description", "d")]).await;
    f.ok("UpdateAssumeRolePolicy", &[role, ("PolicyDocument", TRUST)]).await;
    assert!(f.ok("GetRole", &[role]).await.contains("<Description>d</Description>"));
}

#[tokio::test]
async fn errors_are_those_of_the_service() {
    let f = start().await;
    let bad = [("RoleName", "r"), ("AssumeRolePolicyDocument", "{")];
    f.fails("CreateRole", &bad, 400, "MalformedPolicyDocument", "This policy contains invalid Json").await;
    f.fails("GetRole", &[("RoleName", "a b")], 400, "ValidationError", "The specified value for roleName")
        .await;
    f.fails("CreateUser", &[("UserName", "u")], 400, "InvalidAction", "docs/compatibility.md").await;
    let (status, body) = f.send("", "", "Action=GetRole&Version=2010-05-08").await;
    assert!(status == 403 && body.contains("<Code>MissingAuthenticationToken</Code>"), "{body}");
}

/// A 12-digit access key id is its own account, also for what is stored.
#[tokio::test]
async fn the_credential_decides_the_account() {
    let f = start().await;
    let (status, body) = f.send("123456789012", "sts", "Action=GetCallerIdentity&Version=2011-06-15").await;
    assert_eq!(status, 200);
    assert!(
        body.contains("<Arn>arn:aws:iam::123456789012:root</Arn><UserId>123456789012</UserId>"),
        "{body}"
    );
    f.ok("CreateRole", &[("RoleName", "r"), ("AssumeRolePolicyDocument", TRUST)]).await;
    assert_eq!(f.send("123456789012", "iam", "Action=GetRole&Version=2010-05-08&RoleName=r").await.0, 404);
}
