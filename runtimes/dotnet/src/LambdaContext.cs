// The context object. Nothing here may be touched unless the function brings Amazon.Lambda.Core.

using System;
using System.Collections.Generic;
using Amazon.Lambda.Core;

namespace Lambd
{
    /// Virtual members that the interface of today has not fit those of later versions by name and signature.
    internal class LambdaContext : ILambdaContext
    {
        private static readonly DateTime Epoch = new DateTime(1970, 1, 1, 0, 0, 0, DateTimeKind.Utc);

        private readonly long deadlineMs;

        internal LambdaContext(Event received)
        {
            AwsRequestId = received.RequestId;
            InvokedFunctionArn = received.Header("lambda-runtime-invoked-function-arn");
            TraceId = received.TraceId;
            TenantId = received.Header("lambda-runtime-aws-tenant-id");
            long.TryParse(received.Header("lambda-runtime-deadline-ms"), out deadlineMs);
            ClientContext = new ClientContext(Json.Members(received.Header("lambda-runtime-client-context")));
            Identity = new CognitoIdentity(Json.Members(received.Header("lambda-runtime-cognito-identity")));
            Logger = new Logger();
        }

        public string AwsRequestId { get; private set; }
        public IClientContext ClientContext { get; private set; }
        public string FunctionName { get { return Variable("AWS_LAMBDA_FUNCTION_NAME"); } }
        public string FunctionVersion { get { return Variable("AWS_LAMBDA_FUNCTION_VERSION"); } }
        public ICognitoIdentity Identity { get; private set; }
        public string InvokedFunctionArn { get; private set; }
        public ILambdaLogger Logger { get; private set; }
        public string LogGroupName { get { return Variable("AWS_LAMBDA_LOG_GROUP_NAME"); } }
        public string LogStreamName { get { return Variable("AWS_LAMBDA_LOG_STREAM_NAME"); } }
        public int MemoryLimitInMB { get { return int.Parse(Variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")); } }

        public TimeSpan RemainingTime
        {
            get { return Epoch.AddMilliseconds(deadlineMs) - DateTime.UtcNow; }
        }

        public virtual string TraceId { get; private set; }
        public virtual string TenantId { get; private set; }

        private static string Variable(string name)
        {
            return Environment.GetEnvironmentVariable(name);
        }
    }

    internal sealed class ClientContext : IClientContext, IClientApplication
    {
        private readonly Dictionary<string, string> client;

        internal ClientContext(Dictionary<string, string> members)
        {
            client = Json.Members(Json.Get(members, "client"));
            Environment = Json.Members(Json.Get(members, "env"));
            Custom = Json.Members(Json.Get(members, "custom"));
        }

        public IDictionary<string, string> Environment { get; private set; }
        public IClientApplication Client { get { return client == null ? null : this; } }
        public IDictionary<string, string> Custom { get; private set; }
        public string AppPackageName { get { return Json.Get(client, "app_package_name"); } }
        public string AppTitle { get { return Json.Get(client, "app_title"); } }
        public string AppVersionCode { get { return Json.Get(client, "app_version_code"); } }
        public string AppVersionName { get { return Json.Get(client, "app_version_name"); } }
        public string InstallationId { get { return Json.Get(client, "installation_id"); } }
    }

    internal sealed class CognitoIdentity : ICognitoIdentity
    {
        internal CognitoIdentity(Dictionary<string, string> members)
        {
            IdentityId = Json.Get(members, "cognitoIdentityId");
            IdentityPoolId = Json.Get(members, "cognitoIdentityPoolId");
        }

        public string IdentityId { get; private set; }
        public string IdentityPoolId { get; private set; }
    }

    /// As with the context, its last members are those of later versions.
    internal class Logger : ILambdaLogger
    {
        public void Log(string message)
        {
            Lambd.Log.Text(message);
        }

        public void LogLine(string message)
        {
            Lambd.Log.Line(message);
        }

        public virtual void Log(string level, string message)
        {
            Lambd.Log.Levelled(level, message, null);
        }

        public virtual void Log(string level, string message, params object[] arguments)
        {
            Lambd.Log.Levelled(level, message, arguments);
        }

        public virtual void Log(string level, Exception error, string message, params object[] arguments)
        {
            Lambd.Log.Levelled(level, error, message, arguments);
        }
    }
}
