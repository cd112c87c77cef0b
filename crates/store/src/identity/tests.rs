use lambd_types::{AccountId, UnixMillis};

use super::*;
use crate::DataDir;

async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
    (dir, store)
}

fn role(name: &str, path: &str) -> RoleRow {
    RoleRow {
        name: name.into(),
        path: path.into(),
        id: format!("AROA{name}"),
        created: UnixMillis(5),
        trust_policy: "{}".into(),
        description: None,
        max_session: 3600,
        permissions_boundary: None,
        tags: BTreeMap::from([("k".into(), "v".into())]),
    }
}

fn policy(name: &str) -> PolicyRow {
    PolicyRow {
        name: name.into(),
        path: "/".into(),
        id: format!("ANPA{name}"),
        created: UnixMillis(5),
        updated: UnixMillis(5),
        description: Some("text".into()),
        default_version: 1,
        tags: BTreeMap::new(),
    }
}

#[tokio::test]
async fn roles_belong_to_an_account() {
    let (_dir, store) = store().await;
    let (a, b) = (AccountId::default_local(), AccountId::parse("123456789012").unwrap());
    let iam = store.identity();
    assert!(iam.insert_role(&a, &role("r", "/x/")).await.unwrap());
    assert!(!iam.insert_role(&a, &role("r", "/")).await.unwrap());
    assert_eq!(iam.role(&a, "r").await.unwrap(), Some(role("r", "/x/")));
    assert_eq!(iam.role(&b, "r").await.unwrap(), None);
    assert!(iam.insert_role(&a, &role("s", "/")).await.unwrap());
    let page = Page { after: "", limit: 9 };
    assert_eq!(iam.roles(&a, "/", page).await.unwrap().len(), 2);
    assert_eq!(iam.roles(&a, "/x/", page).await.unwrap().len(), 1);
    assert_eq!(iam.roles(&a, "/", Page { after: "r", limit: 9 }).await.unwrap()[0].name, "s");
}

#[tokio::test]
async fn a_role_with_policies_stays() {
    let (_dir, store) = store().await;
    let account = AccountId::default_local();
    let iam = store.identity();
    assert!(!iam.attach_role_policy(&account, "r", "arn:p").await.unwrap());
    iam.insert_role(&account, &role("r", "/")).await.unwrap();
    for _ in 0..2 {
        assert!(iam.attach_role_policy(&account, "r", "arn:p").await.unwrap());
    }
    assert_eq!(iam.delete_role(&account, "r").await.unwrap(), RoleDeletion::HasAttachments);
    assert!(iam.detach_role_policy(&account, "r", "arn:p").await.unwrap());
    assert!(!iam.detach_role_policy(&account, "r", "arn:p").await.unwrap());
    let inline = InlinePolicyRow { name: "i".into(), document: "{}".into() };
    assert!(iam.put_role_policy(&account, "r", &inline).await.unwrap());
    assert_eq!(iam.delete_role(&account, "r").await.unwrap(), RoleDeletion::HasInlinePolicies);
    assert!(iam.delete_role_policy(&account, "r", "i").await.unwrap());
    assert_eq!(iam.delete_role(&account, "r").await.unwrap(), RoleDeletion::Deleted);
    assert_eq!(iam.delete_role(&account, "r").await.unwrap(), RoleDeletion::Missing);
}

#[tokio::test]
async fn versions_of_a_policy() {
    let (_dir, store) = store().await;
    let account = AccountId::default_local();
    let iam = store.identity();
    assert!(iam.insert_policy(&account, &policy("p"), "one").await.unwrap());
    assert!(!iam.insert_policy(&account, &policy("p"), "two").await.unwrap());
    let added = iam.add_policy_version(&account, "p", "two", UnixMillis(7), true).await.unwrap().unwrap();
    assert_eq!(added.version, 2);
    assert_eq!(iam.policy(&account, "p").await.unwrap().unwrap().default_version, 2);
    assert_eq!(iam.delete_policy(&account, "p", "arn").await.unwrap(), PolicyDeletion::HasVersions);
    assert_eq!(iam.delete_policy_version(&account, "p", 2).await.unwrap(), VersionDeletion::Default);
    assert!(iam.set_default_policy_version(&account, "p", 1, UnixMillis(8)).await.unwrap());
    assert!(!iam.set_default_policy_version(&account, "p", 9, UnixMillis(8)).await.unwrap());
    assert_eq!(iam.delete_policy_version(&account, "p", 2).await.unwrap(), VersionDeletion::Deleted);
    assert_eq!(iam.delete_policy(&account, "p", "arn").await.unwrap(), PolicyDeletion::Deleted);
    assert!(iam.policy_versions(&account, "p").await.unwrap().is_empty());
}
