// The part of AWS's library Amazon.Lambda.Core that lambd's runtime uses: namespace, names and
// signatures, which every version of the library has. The runtime is compiled against this, and binds
// to the library that a function brings; this one is in no package but those of the tests, and LATER adds some of
// what the library has for .NET 8.

using System;
using System.Collections.Generic;
using System.IO;
using System.Reflection;

[assembly: AssemblyVersion("1.0.0.0")]

namespace Amazon.Lambda.Core
{
    public interface ILambdaContext
    {
        string AwsRequestId { get; }
        IClientContext ClientContext { get; }
        string FunctionName { get; }
        string FunctionVersion { get; }
        ICognitoIdentity Identity { get; }
        string InvokedFunctionArn { get; }
        ILambdaLogger Logger { get; }
        string LogGroupName { get; }
        string LogStreamName { get; }
        int MemoryLimitInMB { get; }
        TimeSpan RemainingTime { get; }
#if LATER
        string TenantId { get; }
        string TraceId { get; }
#endif
    }

    public interface IClientContext
    {
        IDictionary<string, string> Environment { get; }
        IClientApplication Client { get; }
        IDictionary<string, string> Custom { get; }
    }

    public interface IClientApplication
    {
        string AppPackageName { get; }
        string AppTitle { get; }
        string AppVersionCode { get; }
        string AppVersionName { get; }
        string InstallationId { get; }
    }

    public interface ICognitoIdentity
    {
        string IdentityId { get; }
        string IdentityPoolId { get; }
    }

    public interface ILambdaLogger
    {
        void Log(string message);
        void LogLine(string message);
#if LATER
        void Log(string level, string message);
        void Log(string level, string message, params object[] arguments);
        void Log(string level, Exception exception, string message, params object[] arguments);
#endif
    }

    public interface ILambdaSerializer
    {
        T Deserialize<T>(Stream requestStream);
        void Serialize<T>(T response, Stream responseStream);
    }

    [AttributeUsage(AttributeTargets.Method | AttributeTargets.Assembly)]
    public sealed class LambdaSerializerAttribute : Attribute
    {
        public LambdaSerializerAttribute(Type serializerType)
        {
            SerializerType = serializerType;
        }

        public Type SerializerType { get; set; }
    }

    public static class LambdaLogger
    {
        // Runtimes find this field by its name.
        private static Action<string> _loggingAction = Console.WriteLine;

        public static void Log(string message)
        {
            _loggingAction(message);
        }

#if LATER
        private static Action<string, string, object[]> _loggingWithLevelAction = null;
        private static Action<string, Exception, string, object[]> _loggingWithLevelAndExceptionAction = null;

        public static void Log(string level, string message, params object[] arguments)
        {
            _loggingWithLevelAction(level, message, arguments);
        }

        public static void Log(string level, Exception exception, string message, params object[] arguments)
        {
            _loggingWithLevelAndExceptionAction(level, exception, message, arguments);
        }
#endif
    }
}
