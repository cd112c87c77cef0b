// A response that goes out while the function writes it, for `LambdaResponseStreamFactory` of Amazon.Lambda.Core. The
// library has it for .NET 8 and later, as internal types for its runtime, which are reached by their names.

using System;
using System.IO;
using System.Reflection;
using System.Threading;
using System.Threading.Tasks;

namespace Lambd
{
    internal sealed class ResponseStream
    {
        private const string Space = "Amazon.Lambda.Core.ResponseStreaming.";
        private const string ErrorType = "Lambda-Runtime-Function-Error-Type";
        private const string ErrorBody = "Lambda-Runtime-Function-Error-Body";
        private const string Headers = "Lambda-Runtime-Function-Response-Mode: streaming\r\nTrailer: " + ErrorType + ", " +
            ErrorBody + "\r\nContent-Type: ";
        private const BindingFlags Any =
            BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static;

        private static readonly object Turn = new object();
        private static Type streamType, callsType; // of the library
        private static RuntimeApi api;
        private static string path; // of the event in hand; null between events
        private static ResponseStream current;

        private long written;
        private bool isFailed, isOver;

        /// Has the library make its streams of these, if it knows any.
        internal static void Offer(Assembly library)
        {
            var factory = library.GetType(Space + "LambdaResponseStreamFactory");
            streamType = library.GetType(Space + "ImplLambdaResponseStream");
            callsType = library.GetType(Space + "ImplLambdaResponseStream+Delegates");
            var give = factory == null ? null : factory.GetMethod("SetLambdaResponseStream", Any);
            if (give == null || streamType == null || callsType == null)
            {
                return;
            }
            var type = give.GetParameters()[0].ParameterType;
            var result = type.GetGenericArguments()[1];
            var make = typeof(ResponseStream).GetMethod("Make", Any).MakeGenericMethod(result);
            give.Invoke(null, new object[] { Delegate.CreateDelegate(type, make) });
        }

        /// An event has come, whose response is posted to `path`.
        internal static void Expect(RuntimeApi to, string responsePath)
        {
            lock (Turn)
            {
                api = to;
                path = responsePath;
                current = null;
            }
        }

        /// Whether the function has begun to stream.
        internal static bool IsBegun
        {
            get { lock (Turn) { return current != null; } }
        }

        /// Ends the response to the event in hand, after an error with a report of it; false if none was begun.
        internal static bool End(Report error)
        {
            lock (Turn)
            {
                var of = path;
                path = null;
                if (current == null)
                {
                    return false;
                }
                current.isOver = true;
                var trailers = error == null ? "" :
                    error.Headers(false) + ErrorBody + ": " + Convert.ToBase64String(error.Body) + "\r\n";
                api.End(of, trailers);
                return true;
            }
        }

        /// What the library calls for a new stream: with what comes before the body of an HTTP response, or nothing.
        private static T Make<T>(byte[] prelude)
        {
            var stream = new ResponseStream();
            lock (Turn)
            {
                if (path == null)
                {
                    throw new InvalidOperationException("A response can be streamed only while an event is handled.");
                }
                if (current != null)
                {
                    throw new InvalidOperationException("There can be only one response stream for an event.");
                }
                var isHttp = prelude != null && prelude.Length > 0;
                api.Begin(path, Headers +
                    (isHttp ? "application/vnd.awslambda.http-integration-response" : "application/octet-stream") + "\r\n");
                current = stream;
                if (isHttp)
                {
                    // Eight zeros separate it from the body.
                    Array.Resize(ref prelude, prelude.Length + 8);
                    api.SendChunk(prelude, 0, prelude.Length);
                }
            }
            var calls = Activator.CreateInstance(callsType, true);
            Set(calls, "WriteAsync", new Func<byte[], int, int, CancellationToken, Task>(stream.Write));
            Set(calls, "BytesWritten", new Func<long>(() => stream.written));
            Set(calls, "HasError", new Func<bool>(() => stream.isFailed));
            Set(calls, "Dispose", new Action(stream.Close));
            return (T)Activator.CreateInstance(streamType, Any & ~BindingFlags.Static, null, new[] { calls }, null);
        }

        private static void Set(object calls, string name, Delegate call)
        {
            callsType.GetProperty(name, Any).SetValue(calls, call, null);
        }

        /// Is done when the kernel has taken everything: so the function follows the reader at the other end.
        private Task Write(byte[] buffer, int offset, int count, CancellationToken cancellation)
        {
            if (buffer == null)
            {
                throw new ArgumentNullException("buffer");
            }
            if (offset < 0 || count < 0 || count > buffer.Length - offset)
            {
                throw new ArgumentOutOfRangeException("count");
            }
            cancellation.ThrowIfCancellationRequested();
            lock (Turn)
            {
                if (isOver || isFailed)
                {
                    throw new InvalidOperationException("The response stream is " + (isOver ? "over." : "broken."));
                }
                try
                {
                    api.SendChunk(buffer, offset, count);
                }
                catch (IOException)
                {
                    isFailed = true;
                    throw;
                }
                written += count;
            }
            return Task.CompletedTask;
        }

        private void Close()
        {
            lock (Turn)
            {
                isOver = true;
            }
        }
    }
}
