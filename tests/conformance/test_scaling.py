"""Application Auto Scaling of provisioned concurrency, with boto3 and the ``aws`` command; the clock is moved."""

import datetime
import json
import re
import urllib.request

import pytest
from botocore.exceptions import ClientError

from harness import packages
from harness.clients import ACCOUNT, REGION, Cli, boto
from harness.daemon import Daemon, wait_for
from harness.functions import ROLE, Functions, python_runtime

CODE = "def handler(event, context):\n    return 'ok'\n"
NAMESPACE, DIMENSION = "lambda", "lambda:function:ProvisionedConcurrency"
TRACKING = {
    "TargetValue": 0.7,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"},
}
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class Scaling:
    """The API for the alias of one function, at a daemon with a clock that stands still."""

    def __init__(self, daemon: Daemon, name: str):
        self.daemon = daemon
        self.connect()
        self.function(name)

    def connect(self):
        """Makes the clients."""
        self.api = boto(self.daemon.url, "application-autoscaling")
        self.lambda_ = boto(self.daemon.url, "lambda")

    def function(self, name: str):
        """A function with version 1 and the alias BLUE to it."""
        code = {"ZipFile": packages.package({"app.py": CODE})}
        self.lambda_.create_function(
            FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code=code
        )
        Functions(self.lambda_).active(name)
        Functions(self.lambda_).publish(name)
        self.lambda_.create_alias(FunctionName=name, Name="BLUE", FunctionVersion="1")
        self.name = name
        self.target = {
            "ServiceNamespace": NAMESPACE,
            "ResourceId": f"function:{name}:BLUE",
            "ScalableDimension": DIMENSION,
        }
        self.only = {"ServiceNamespace": NAMESPACE, "ResourceId": self.target["ResourceId"]}

    def end(self):
        """Leaves nothing to be scaled."""
        for target in self.api.describe_scalable_targets(ServiceNamespace=NAMESPACE)["ScalableTargets"]:
            named = {key: target[key] for key in ["ServiceNamespace", "ResourceId", "ScalableDimension"]}
            self.api.deregister_scalable_target(**named)
        for function in self.lambda_.list_functions()["Functions"]:
            self.lambda_.delete_function(FunctionName=function["FunctionName"])

    def restart(self):
        """The next daemon on the same data; its clock begins at the machine's time."""
        assert self.daemon.stop() == 0
        self.daemon.start()
        self.connect()

    def register(self, minimum: int, maximum: int, **more) -> str:
        answer = self.api.register_scalable_target(
            **self.target, MinCapacity=minimum, MaxCapacity=maximum, **more
        )
        return answer["ScalableTargetARN"]

    def track(self, **more):
        configuration = TRACKING | more
        return self.api.put_scaling_policy(
            **self.target,
            PolicyName="my-policy",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=configuration,
        )

    def schedule(self, name: str, expression: str, action: dict, **more):
        self.api.put_scheduled_action(
            **self.target, ScheduledActionName=name, Schedule=expression, ScalableTargetAction=action, **more
        )

    def capacity(self):
        """What is asked for, and whether it is there; nothing when there is no provisioned concurrency."""
        try:
            found = self.lambda_.get_provisioned_concurrency_config(FunctionName=self.name, Qualifier="BLUE")
        except self.lambda_.exceptions.ProvisionedConcurrencyConfigNotFoundException:
            return 0, "READY"
        return found["RequestedProvisionedConcurrentExecutions"], found["Status"]

    def reaches(self, capacity: int):
        wait_for(lambda: self.capacity() == (capacity, "READY"), f"a capacity of {capacity}")

    def bounds(self):
        (target,) = self.api.describe_scalable_targets(ServiceNamespace=NAMESPACE)["ScalableTargets"]
        return target["MinCapacity"], target["MaxCapacity"]

    def activities(self, **more) -> list:
        """Description, cause and status, the latest first."""
        found = self.api.describe_scaling_activities(**self.only, **more)["ScalingActivities"]
        return [(a["Description"], a["Cause"], a["StatusCode"]) for a in found]

    def clock(self, seconds: float = 0) -> datetime.datetime:
        """Moves the clock and tells what it shows."""
        body = json.dumps({"advanceSeconds": seconds}).encode() if seconds else None
        request = urllib.request.Request(
            f"{self.daemon.url}/_lambd/clock", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            millis = json.load(answer)["nowMillis"]
        return datetime.datetime.fromtimestamp(millis / 1000, datetime.timezone.utc)

    def minutes_until(self, capacity: int, used: bool) -> int:
        """Lets minutes pass, each with an event or without, until the capacity is that; tells how many."""
        passed = []

        def reached():
            if self.capacity()[0] == capacity:
                return True
            if used:
                self.lambda_.invoke(FunctionName=self.name, Qualifier="BLUE", Payload=b"{}")
            self.clock(60)
            passed.append(1)
            return False

        wait_for(reached, f"a capacity of {capacity}")
        return len(passed)


@pytest.fixture(scope="module")
def manual(tmp_path_factory):
    """A daemon whose clock stands still; each test moves it as it likes."""
    daemon = Daemon(tmp_path_factory.mktemp("scaling"), arguments=["--clock", "manual"]).start()
    yield daemon
    assert daemon.stop() == 0, daemon.output()


@pytest.fixture
def scaling(manual, name):
    made = Scaling(manual, name)
    yield made
    made.end()


def error(call, **parameters) -> tuple:
    """Code and text of the error that a call must end in."""
    with pytest.raises(ClientError) as refusal:
        call(**parameters)
    found = refusal.value.response["Error"]
    return found["Code"], found["Message"]


def test_the_guides_commands(scaling, tmp_path):
    """CORE-183, CORE-184, CORE-185, CORE-186: the commands of the guide, and what they answer."""
    scaling.function("my-function")
    cli = Cli(scaling.daemon.url, tmp_path)
    done = cli.run(
        *"application-autoscaling register-scalable-target --service-namespace lambda"
        " --resource-id function:my-function:BLUE --min-capacity 1 --max-capacity 100"
        " --scalable-dimension lambda:function:ProvisionedConcurrency --output json".split()
    )
    arn = json.loads(done.stdout)["ScalableTargetARN"]
    assert re.fullmatch(f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/[0-9a-f]{{36}}", arn)
    policy = cli.json(
        *"application-autoscaling put-scaling-policy --service-namespace lambda"
        " --scalable-dimension lambda:function:ProvisionedConcurrency --resource-id function:my-function:BLUE"
        " --policy-name my-policy --policy-type TargetTrackingScaling"
        " --target-tracking-scaling-policy-configuration".split(),
        '{ "TargetValue": 0.7, "PredefinedMetricSpecification":'
        ' { "PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization" }}',
    )
    assert re.fullmatch(
        f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:{UUID}"
        ":resource/lambda/function:my-function:BLUE:policyName/my-policy",
        policy["PolicyARN"],
    )
    assert len(policy["Alarms"]) == 2
    for alarm, kind in zip(policy["Alarms"], ["AlarmHigh", "AlarmLow"], strict=True):
        assert re.fullmatch(f"TargetTracking-function:my-function:BLUE-{kind}-{UUID}", alarm["AlarmName"])
        assert alarm["AlarmARN"] == f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{alarm['AlarmName']}"

    # The capacity is brought to the minimum at once.
    scaling.reaches(1)
    wait_for(
        lambda: scaling.activities()
        == [("Setting desired concurrency to 1.", "minimum capacity was set to 1", "Successful")],
        "the activity to end",
    )
    (target,) = scaling.api.describe_scalable_targets(ServiceNamespace=NAMESPACE)["ScalableTargets"]
    assert target["ScalableTargetARN"] == arn
    assert target["RoleARN"].endswith("/AWSServiceRoleForApplicationAutoScaling_LambdaConcurrency")
    assert set(target["SuspendedState"].values()) == {False}
    (described,) = scaling.api.describe_scaling_policies(**scaling.only)["ScalingPolicies"]
    assert described["TargetTrackingScalingPolicyConfiguration"] == TRACKING
    assert (described["PolicyARN"], described["Alarms"]) == (policy["PolicyARN"], policy["Alarms"])


def test_load_raises_and_quiet_lowers(scaling):
    """W21, CORE-186, CORE-187: three busy minutes scale out, fifteen quiet ones in; the bounds hold."""
    scaling.register(1, 3)
    scaling.reaches(1)
    policy = scaling.track()
    high, low = [alarm["AlarmName"] for alarm in policy["Alarms"]]
    assert scaling.minutes_until(2, used=True) >= 3
    scaling.reaches(2)
    cause = f"monitor alarm {high} in state ALARM triggered policy my-policy"
    wait_for(
        lambda: scaling.activities()[0] == ("Setting desired concurrency to 2.", cause, "Successful"),
        "the activity to end",
    )
    # One event at a time is half of two: neither alarm is on at 50 %, which is below 63 % only.
    assert scaling.minutes_until(1, used=False) >= 15
    cause = f"monitor alarm {low} in state ALARM triggered policy my-policy"
    wait_for(
        lambda: scaling.activities()[0] == ("Setting desired concurrency to 1.", cause, "Successful"),
        "the activity to end",
    )

    def at_the_minimum():
        scaling.clock(60)
        found = scaling.api.describe_scaling_activities(
            **scaling.only, IncludeNotScaledActivities=True
        )["ScalingActivities"]
        reasons = [{"Code": "AlreadyAtMinCapacity", "MinCapacity": 1, "CurrentCapacity": 1}]
        return any(a.get("NotScaledReasons") == reasons for a in found)

    wait_for(at_the_minimum, "an alarm that changes nothing")
    assert all(status == "Successful" for _, _, status in scaling.activities())


def test_what_is_suspended_does_not_scale(scaling):
    """CORE-187: suspended scaling keeps the capacity, and goes on when it is resumed."""
    suspended = {"DynamicScalingOutSuspended": True, "ScheduledScalingSuspended": True}
    scaling.register(1, 3, SuspendedState=suspended)
    scaling.reaches(1)
    scaling.track()
    at = scaling.clock(60) + datetime.timedelta(minutes=2)
    scaling.schedule("once", f"at({at:%Y-%m-%dT%H:%M:%S})", {"MinCapacity": 2})
    for _ in range(5):
        scaling.lambda_.invoke(FunctionName=scaling.name, Qualifier="BLUE", Payload=b"{}")
        scaling.clock(60)
    (target,) = scaling.api.describe_scalable_targets(ServiceNamespace=NAMESPACE)["ScalableTargets"]
    assert target["SuspendedState"] == suspended | {"DynamicScalingInSuspended": False}
    resumed = scaling.clock()
    resume = {"DynamicScalingOutSuspended": False}
    scaling.api.register_scalable_target(**scaling.target, SuspendedState=resume)
    assert scaling.minutes_until(2, used=True) >= 1
    # What raised it is the policy, after it was resumed; the time of the scheduled action is long over.
    raised, registered = scaling.api.describe_scaling_activities(**scaling.only)["ScalingActivities"]
    assert raised["Cause"].endswith("triggered policy my-policy") and raised["StartTime"] >= resumed
    assert registered["Cause"] == "minimum capacity was set to 1"
    assert scaling.bounds() == (1, 3)


def test_scheduled_actions_change_the_bounds(scaling):
    """CORE-187: at, rate and cron with a time zone, start and end; the capacity follows the bounds."""
    scaling.register(1, 2)
    scaling.reaches(1)
    start = scaling.clock()
    soon = start + datetime.timedelta(hours=1)
    scaling.schedule("up", f"at({soon:%Y-%m-%dT%H:%M:%S})", {"MinCapacity": 2, "MaxCapacity": 4})
    scaling.clock(3599)
    assert (scaling.bounds(), scaling.capacity()[0]) == ((1, 2), 1)
    scaling.clock(2)
    scaling.reaches(2)
    assert scaling.bounds() == (2, 4)
    wait_for(
        lambda: scaling.activities()[:2]
        == [
            ("Setting desired concurrency to 2.", "minimum capacity was set to 2", "Successful"),
            ("Setting min capacity to 2 and max capacity to 4", "scheduled action name up was triggered", "Successful"),
        ],
        "the activities",
    )

    # Every hour from its start on, until its end.
    # boto3 sends whole seconds.
    begin = scaling.clock().replace(microsecond=0) + datetime.timedelta(minutes=10)
    end = begin + datetime.timedelta(minutes=90)
    scaling.schedule("hourly", "rate(1 hour)", {"MinCapacity": 0, "MaxCapacity": 0}, StartTime=begin, EndTime=end)
    scaling.clock(600)
    # None at all is no configuration.
    scaling.reaches(0)
    assert scaling.bounds() == (0, 0)
    scaling.clock(3600)
    scaling.clock(3600)

    # In Tokyo it is nine hours later.
    local = scaling.clock() + datetime.timedelta(hours=9, minutes=30)
    scaling.schedule(
        "tokyo",
        f"cron({local.minute} {local.hour} * * ? *)",
        {"MinCapacity": 1, "MaxCapacity": 1},
        Timezone="Asia/Tokyo",
    )
    scaling.clock(1860)
    scaling.reaches(1)
    triggered = [cause for _, cause, _ in scaling.activities() if cause.endswith("was triggered")]
    names = [re.search("name (.*) was", cause).group(1) for cause in triggered]
    assert names[0] == "tokyo" and names[-1] == "up" and set(names[1:-1]) == {"hourly"}

    actions = scaling.api.describe_scheduled_actions(**scaling.only)["ScheduledActions"]
    assert [a["ScheduledActionName"] for a in actions] == ["hourly", "tokyo", "up"]
    hourly, tokyo, _ = actions
    assert (hourly["StartTime"], hourly["EndTime"]) == (begin, end)
    assert (tokyo["Timezone"], tokyo["ScalableTargetAction"]) == ("Asia/Tokyo", {"MinCapacity": 1, "MaxCapacity": 1})
    assert re.fullmatch(
        f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scheduledAction:{UUID}"
        f":resource/lambda/function:{scaling.name}:BLUE:scheduledActionName/tokyo",
        tokyo["ScheduledActionARN"],
    )


def test_everything_survives_a_restart(scaling):
    """Targets, policies, actions, tags and activities are there again, and what was missed meanwhile is done."""
    scaling.restart()
    arn = scaling.register(1, 3, Tags={"team": "a"})
    scaling.reaches(1)
    scaling.track(TargetValue=0.4, ScaleInCooldown=60, DisableScaleIn=True)
    scaling.schedule("later", "rate(1 day)", {"MinCapacity": 2})
    # This is over when the next daemon starts, whose clock begins at the machine's time.
    at = scaling.clock() + datetime.timedelta(seconds=1)
    scaling.schedule("missed", f"at({at:%Y-%m-%dT%H:%M:%S})", {"MaxCapacity": 4})
    describe = [
        lambda: scaling.api.describe_scalable_targets(ServiceNamespace=NAMESPACE)["ScalableTargets"],
        lambda: scaling.api.describe_scaling_policies(**scaling.only)["ScalingPolicies"],
        lambda: scaling.api.describe_scheduled_actions(**scaling.only)["ScheduledActions"],
        lambda: scaling.api.list_tags_for_resource(ResourceARN=arn)["Tags"],
    ]
    before = [call() for call in describe]
    assert len(before[1][0]["Alarms"]) == 1, "a policy that never scales in has no alarm for it"
    wait_for(lambda: scaling.activities()[0][2] == "Successful", "the activity to end")
    activities = scaling.activities()
    wait_for(lambda: datetime.datetime.now(datetime.timezone.utc) > at, "a second to pass")
    scaling.restart()
    wait_for(lambda: scaling.bounds() == (1, 4), "the action that was missed")
    before[0][0]["MaxCapacity"] = 4
    assert [call() for call in describe] == before
    missed = "Setting max capacity to 4", "scheduled action name missed was triggered", "Successful"
    wait_for(lambda: scaling.activities() == [missed, *activities], "what was done before and since")
    scaling.reaches(1)
    scaling.clock(2 * 86400)
    scaling.reaches(2)
    assert scaling.minutes_until(3, used=True) >= 3


def test_what_cannot_be_scaled_is_told(scaling):
    """What Lambda refuses is an activity that failed, with Lambda's reason; deregistering keeps the capacity."""
    scaling.lambda_.put_function_concurrency(FunctionName=scaling.name, ReservedConcurrentExecutions=2)
    scaling.register(3, 5)
    ((description, cause, status),) = scaling.activities()
    assert (description, cause, status) == (
        "Setting desired concurrency to 3.",
        "minimum capacity was set to 3",
        "Failed",
    )
    (activity,) = scaling.api.describe_scaling_activities(**scaling.only)["ScalingActivities"]
    assert activity["StatusMessage"] == (
        "Failed to set desired concurrency to 3. Reason: Requested Provisioned Concurrency should not be greater than "
        "the reservedConcurrentExecution for function (Service: AWSLambda; Status Code: 400; Error Code: "
        "InvalidParameterValueException)"
    )
    scaling.register(1, 2)
    scaling.reaches(1)
    scaling.track()
    scaling.schedule("a", "rate(1 day)", {"MinCapacity": 2})
    scaling.api.deregister_scalable_target(**scaling.target)
    assert scaling.capacity() == (1, "READY")
    assert scaling.api.describe_scaling_policies(**scaling.only)["ScalingPolicies"] == []
    assert scaling.api.describe_scheduled_actions(**scaling.only)["ScheduledActions"] == []
    suffix = f"service namespace: lambda, resource ID: function:{scaling.name}:BLUE, scalable dimension: {DIMENSION}"
    code = "ObjectNotFoundException"
    assert error(scaling.api.deregister_scalable_target, **scaling.target) == (
        code,
        f"No scalable target found for {suffix}",
    )
    assert error(scaling.track) == (code, f"No scalable target registered for {suffix}")
    assert error(scaling.schedule, name="a", expression="rate(1 day)", action={"MinCapacity": 2}) == (
        code,
        f"No scalable target registered for {suffix}",
    )
    assert error(scaling.api.delete_scaling_policy, **scaling.target, PolicyName="p") == (
        code,
        f"No scaling policy found for {suffix}, policy name: p",
    )
    assert error(scaling.api.delete_scheduled_action, **scaling.target, ScheduledActionName="s") == (
        code,
        f"No scheduled action found for {suffix}, scheduled action name: s",
    )


def test_what_is_not_valid_is_refused(scaling):
    """Parameters are checked as the model has them, and what only other services have is refused by name."""
    api, target = scaling.api, scaling.target
    bounds = {"MinCapacity": 1, "MaxCapacity": 2}

    def refused(call, **parameters):
        code, text = error(call, **parameters)
        assert code == "ValidationException"
        return text

    unsupported = "Unsupported service namespace, resource type or scalable dimension"
    register = api.register_scalable_target
    ecs = {"ServiceNamespace": "ecs", "ResourceId": "service/a/b", "ScalableDimension": "ecs:service:DesiredCount"}
    assert refused(register, **ecs, **bounds) == unsupported
    for resource in [f"function:{scaling.name}", f"function:{scaling.name}:$LATEST", "table/t"]:
        assert refused(register, **target | {"ResourceId": resource}, **bounds) == unsupported
    missing = f"function:{scaling.name}:GREEN"
    assert refused(register, **target | {"ResourceId": missing}, **bounds) == (
        f"Lambda function doesn't exist: {missing}"
    )
    text = refused(register, **target | {"ServiceNamespace": "x", "ScalableDimension": "y"}, **bounds)
    assert text.startswith("2 validation errors detected: Value 'x' at 'serviceNamespace' failed to satisfy constraint")
    assert "required to register" in refused(register, **target, MinCapacity=1)
    assert "less than minimum" in refused(register, **target, MinCapacity=3, MaxCapacity=2)
    assert "between 0 and" in refused(register, **target, MinCapacity=-1, MaxCapacity=2)
    scaling.register(1, 2)

    def policy(kind="TargetTrackingScaling", name="p", **more):
        given = {"TargetTrackingScalingPolicyConfiguration": TRACKING} | more
        return refused(api.put_scaling_policy, **target, PolicyName=name, PolicyType=kind, **given)

    tracking = "TargetTrackingScalingPolicyConfiguration"
    assert "StepScaling is not supported for service namespace lambda" in policy("StepScaling")
    assert "PredictiveScaling is not supported" in policy("PredictiveScaling")
    custom = {"MetricName": "m", "Namespace": "n", "Statistic": "Sum"}
    assert "no CloudWatch metrics" in policy(
        **{tracking: {"TargetValue": 0.5, "CustomizedMetricSpecification": custom}}
    )
    other = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
    assert "is not supported for service namespace lambda" in policy(
        **{tracking: TRACKING | {"PredefinedMetricSpecification": other}}
    )
    assert "Exactly one of" in policy(**{tracking: {"TargetValue": 0.5}})
    assert "between 0.1 and 0.9" in policy(**{tracking: TRACKING | {"TargetValue": 70}})
    assert "scaleInCooldown" in policy(**{tracking: TRACKING | {"ScaleInCooldown": -1}})
    scaling.track()
    assert policy(name="second") == (
        "Only one TargetTrackingScaling policy for a given metric specification is allowed."
    )

    def schedule(expression, action=bounds, **more):
        parameters = {"ScheduledActionName": "s", "Schedule": expression, "ScalableTargetAction": action} | more
        return refused(api.put_scheduled_action, **target, **parameters)

    for bad in ["cron(0 10 * * * *)", "rate(5 minute)", "at(yesterday)", "10 minutes", "at(2020-01-01T00:00:00)"]:
        assert schedule(bad).startswith("Invalid schedule expression. Details: ")
    assert schedule("rate(1 day)", Timezone="Mars/Base").startswith("Invalid time zone.")
    assert "needs MinCapacity, MaxCapacity or both" in schedule("rate(1 day)", {})
    assert "less than minimum" in schedule("rate(1 day)", {"MinCapacity": 2, "MaxCapacity": 1})
    assert "scheduledActionName" in schedule("rate(1 day)", ScheduledActionName="a/b")
    now = datetime.datetime.now(datetime.timezone.utc)
    assert schedule("rate(1 day)", StartTime=now, EndTime=now) == "EndTime must be after StartTime"

    assert error(api.describe_scalable_targets, ServiceNamespace=NAMESPACE, NextToken="?")[0] == (
        "InvalidNextTokenException"
    )
    assert "maxResults" in refused(api.describe_scaling_activities, ServiceNamespace=NAMESPACE, MaxResults=51)
    assert api.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []
    assert scaling.bounds() == (1, 2)


def test_tags_pages_and_changes(scaling):
    """Tags of targets, lists in pages, and what a second request changes and keeps."""
    api = scaling.api
    arn = scaling.register(1, 2, Tags={"a": "1"})
    assert scaling.register(1, 3) == arn
    assert scaling.bounds() == (1, 3)
    api.tag_resource(ResourceARN=arn, Tags={"b": "2", "c": ""})
    api.untag_resource(ResourceARN=arn, TagKeys=["a", "x"])
    assert api.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"b": "2", "c": ""}
    many = {f"k{n}": "v" for n in range(49)}
    assert error(api.tag_resource, ResourceARN=arn, Tags=many)[0] == "TooManyTagsException"
    assert error(api.list_tags_for_resource, ResourceARN=arn + "0")[0] == "ResourceNotFoundException"
    assert error(api.list_tags_for_resource, ResourceARN="arn:aws:lambda:a:1:x/y")[0] == "ValidationException"

    for number in range(5):
        scaling.schedule(f"action-{number}", "rate(2 days)", {"MinCapacity": number % 2})
    pages = api.get_paginator("describe_scheduled_actions").paginate(
        **scaling.only, PaginationConfig={"PageSize": 2}
    )
    pages = [[a["ScheduledActionName"] for a in page["ScheduledActions"]] for page in pages]
    assert pages == [["action-0", "action-1"], ["action-2", "action-3"], ["action-4"]]
    named = api.describe_scheduled_actions(**scaling.only, ScheduledActionNames=["action-3", "x"])
    assert [a["ScheduledActionName"] for a in named["ScheduledActions"]] == ["action-3"]
    api.put_scheduled_action(**scaling.target, ScheduledActionName="action-3", Schedule="rate(3 days)")
    (changed,) = api.describe_scheduled_actions(**scaling.only, ScheduledActionNames=["action-3"])[
        "ScheduledActions"
    ]
    assert (changed["Schedule"], changed["ScalableTargetAction"]) == ("rate(3 days)", {"MinCapacity": 1})
    assert changed["CreationTime"] == named["ScheduledActions"][0]["CreationTime"]
    api.delete_scheduled_action(**scaling.target, ScheduledActionName="action-3")
    first = scaling.track()
    second = scaling.track(TargetValue=0.5)
    assert (second["PolicyARN"], second["Alarms"]) == (first["PolicyARN"], first["Alarms"])
    api.delete_scaling_policy(**scaling.target, PolicyName="my-policy")
    assert api.describe_scaling_policies(**scaling.only)["ScalingPolicies"] == []
