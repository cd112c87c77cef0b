use super::*;

fn registry(external: &[&str]) -> Registry {
    Registry::new(&external.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
}

fn register(registry: &mut Registry, name: &str, events: &[&str]) -> Result<String, Refused> {
    registry.register(name, &events.iter().map(|event| (*event).to_owned()).collect::<Vec<_>>())
}

fn kind<T: std::fmt::Debug>(result: Result<T, Refused>) -> &'static str {
    result.unwrap_err().kind
}

fn error(registry: &Registry) -> Option<(&str, &str)> {
    registry.failure().map(|failure| (failure.kind, failure.message.as_str()))
}

#[test]
fn names_are_registered_once() {
    let mut all = registry(&["out"]);
    let out = register(&mut all, "out", &["INVOKE", "SHUTDOWN"]).unwrap();
    assert_eq!(out.len(), 36);
    let again = register(&mut all, "out", &["INVOKE"]).unwrap_err();
    assert_eq!(
        again.message,
        "State transition from Registered to Registered failed for extension out. Error: State transition is not allowed"
    );
    register(&mut all, "in", &["INVOKE"]).unwrap();
    let again = register(&mut all, "in", &["INVOKE"]).unwrap_err();
    assert_eq!(again.message, "Extension with this name already registered");
    assert_eq!(again.kind, "Extension.InvalidExtensionState");
}

#[test]
fn internal_extensions_have_narrower_rights() {
    let mut all = registry(&[]);
    assert_eq!(kind(register(&mut all, "in", &["SHUTDOWN"])), "Extension.InvalidEventType");
    assert_eq!(kind(register(&mut all, "in", &["PARTY"])), "Extension.InvalidEventType");
    for number in 0..MOST {
        register(&mut all, &number.to_string(), &["INVOKE"]).unwrap();
    }
    assert_eq!(kind(register(&mut all, "in", &["INVOKE"])), "Extension.TooManyExtensions");
    let mut all = registry(&[]);
    all.close();
    assert_eq!(kind(register(&mut all, "in", &["INVOKE"])), "Extension.RegistrationClosed");
}

#[test]
fn the_eleventh_external_extension_is_one_too_many() {
    let names: Vec<_> = (0..11).map(|number| format!("e{number:02}")).collect();
    let all = Registry::new(&names[..10]);
    assert_eq!(error(&all), None);
    let all = Registry::new(&names);
    assert_eq!(error(&all).map(|(kind, _)| kind), Some("Extension.LaunchError"));
    let last = all.list().pop().unwrap();
    assert_eq!((last.state, last.error_type.as_deref()), ("LaunchError", Some("TooManyExtensions")));
}

#[test]
fn identifiers_must_be_known() {
    let mut all = registry(&[]);
    let id = random::uuid();
    assert_eq!(kind(all.ready(&id)), "Extension.UnknownExtensionIdentifier");
    assert_eq!(kind(all.report(&id, State::ExitError, "x")), "Extension.UnknownExtensionIdentifier");
}

#[test]
fn the_end_of_a_process_is_what_the_extension_said_before() {
    let mut all = registry(&["a"]);
    all.ended(0, &Exit::Exited(0));
    assert_eq!(error(&all), Some(("Extension.Crash", "exit code 0")));

    let mut all = registry(&["a"]);
    let id = register(&mut all, "a", &[]).unwrap();
    all.report(&id, State::InitError, "My.Error").unwrap();
    assert_eq!(error(&all), None, "its process has not ended");
    all.ended(0, &Exit::Exited(3));
    assert_eq!(error(&all), Some(("Extension.InitError", "exit status 3")));
    assert_eq!(all.list()[0].error_type.as_deref(), Some("My.Error"));

    let mut all = registry(&["a"]);
    let id = register(&mut all, "a", &[]).unwrap();
    all.ready(&id).unwrap();
    assert_eq!(kind(all.report(&id, State::InitError, "x")), "Extension.InvalidExtensionState");
    all.report(&id, State::ExitError, "x").unwrap();
    all.ended(0, &Exit::Signaled(9));
    assert_eq!(error(&all), Some(("Extension.ExitError", "signal: killed")));
}

#[test]
fn one_that_cannot_be_started_is_told_once() {
    let mut all = registry(&["a"]);
    all.ended(0, &Exit::NotStarted("permission denied".into()));
    all.ended(0, &Exit::Exited(127));
    let text = "fork/exec /opt/extensions/a: permission denied";
    assert_eq!(error(&all), Some(("Extension.LaunchError", text)));
    let shown = all.list().pop().unwrap();
    assert_eq!((shown.state, shown.error_type.as_deref()), ("LaunchError", Some("PermissionDenied")));
}

#[test]
fn an_internal_extension_fails_at_once() {
    let mut all = registry(&[]);
    let id = register(&mut all, "a", &["INVOKE"]).unwrap();
    all.report(&id, State::InitError, "My.Error").unwrap();
    assert_eq!(error(&all), Some(("Extension.InitError", "My.Error")));
}
