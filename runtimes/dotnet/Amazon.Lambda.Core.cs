// The part of AWS's library Amazon.Lambda.Core that lambd's runtime uses: namespace, names and
// signatures, which every version of the library has. The runtime is compiled against this, and binds
// to the library that a function brings; this one is in no package but those of the tests, and LATER adds some of
// what the library has for .NET 8.

using System;
using System.Collections.Generic;
using System.IO;
using System.Reflection;
#if LATER
using System.Text;
using System.Threading;
using System.Threading.Tasks;
#endif

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

#if LATER
namespace Amazon.Lambda.Core
{
    public static class SnapshotRestore
    {
        private static readonly List<Func<ValueTask>> before = new List<Func<ValueTask>>();
        private static readonly List<Func<ValueTask>> after = new List<Func<ValueTask>>();

        public static void RegisterBeforeSnapshot(Func<ValueTask> beforeSnapshotAction)
        {
            before.Add(beforeSnapshotAction);
        }

        public static void RegisterAfterRestore(Func<ValueTask> afterRestoreAction)
        {
            after.Add(afterRestoreAction);
        }

        // Runtimes find these by their names.
        internal static void CopyBeforeSnapshotCallbacksToRegistry(Action<Func<ValueTask>> restoreHooksRegistryMethod)
        {
            before.ForEach(restoreHooksRegistryMethod);
            before.Clear();
        }

        internal static void CopyAfterRestoreCallbacksToRegistry(Action<Func<ValueTask>> restoreHooksRegistryMethod)
        {
            after.ForEach(restoreHooksRegistryMethod);
            after.Clear();
        }
    }
}

namespace Amazon.Lambda.Core.ResponseStreaming
{
    public class HttpResponseStreamPrelude
    {
        public int? StatusCode { get; set; }

        internal byte[] ToByteArray()
        {
            return Encoding.UTF8.GetBytes("{\"statusCode\":" + StatusCode + "}");
        }
    }

    internal interface ILambdaResponseStream : IDisposable
    {
        Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken);
        long BytesWritten { get; }
        bool HasError { get; }
    }

    internal class ImplLambdaResponseStream : ILambdaResponseStream
    {
        private readonly Delegates calls;

        internal ImplLambdaResponseStream(Delegates innerDelegates)
        {
            calls = innerDelegates;
        }

        public long BytesWritten { get { return calls.BytesWritten(); } }
        public bool HasError { get { return calls.HasError(); } }

        public void Dispose()
        {
            calls.Dispose();
        }

        public Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
        {
            return calls.WriteAsync(buffer, offset, count, cancellationToken);
        }

        internal class Delegates
        {
            internal Func<byte[], int, int, CancellationToken, Task> WriteAsync { get; set; }
            internal Func<long> BytesWritten { get; set; }
            internal Func<bool> HasError { get; set; }
            internal Action Dispose { get; set; }
        }
    }

    public class LambdaResponseStream : Stream
    {
        private readonly ILambdaResponseStream stream;

        internal LambdaResponseStream(ILambdaResponseStream responseStream)
        {
            stream = responseStream;
        }

        public long BytesWritten { get { return stream.BytesWritten; } }
        public override bool CanRead { get { return false; } }
        public override bool CanSeek { get { return false; } }
        public override bool CanWrite { get { return true; } }
        public override long Length { get { return BytesWritten; } }

        public override long Position
        {
            get { throw new NotSupportedException(); }
            set { throw new NotSupportedException(); }
        }

        public override void Flush() { }

        public override int Read(byte[] buffer, int offset, int count)
        {
            throw new NotSupportedException();
        }

        public override long Seek(long offset, SeekOrigin origin)
        {
            throw new NotSupportedException();
        }

        public override void SetLength(long value)
        {
            throw new NotSupportedException();
        }

        public override void Write(byte[] buffer, int offset, int count)
        {
            stream.WriteAsync(buffer, offset, count, CancellationToken.None).GetAwaiter().GetResult();
        }

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
        {
            return stream.WriteAsync(buffer, offset, count, cancellationToken);
        }
    }

    public class LambdaResponseStreamFactory
    {
        private static Func<byte[], ILambdaResponseStream> made;

        // Runtimes find this by its name.
        internal static void SetLambdaResponseStream(Func<byte[], ILambdaResponseStream> streamFactory)
        {
            made = streamFactory;
        }

        public static LambdaResponseStream CreateStream()
        {
            return new LambdaResponseStream(made(new byte[0]));
        }

        public static LambdaResponseStream CreateHttpStream(HttpResponseStreamPrelude prelude)
        {
            return new LambdaResponseStream(made(prelude.ToByteArray()));
        }
    }
}
#endif
