// Handlers that use what later versions of AWS's library have.

using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Amazon.Lambda.Core;
using Amazon.Lambda.Core.ResponseStreaming;

namespace Later
{
    public class Function
    {
        public Stream Handle(ILambdaContext context)
        {
            context.Logger.Log("Warning", "context {Name} has {Count:000} of {{x}}", "\u00e9", 7);
            context.Logger.Log("Debug", "plain {Name}");
            LambdaLogger.Log("Error", new FormatException("bad"), "library {0}", true);
            LambdaLogger.Log("text");
            return new MemoryStream(Encoding.UTF8.GetBytes(context.TraceId + " " + context.TenantId));
        }
    }

    public class Streams
    {
        /// Does what the event says, one letter after the other: a stream, an HTTP stream, a second one, a write, waiting
        /// for a file, an error, the end.
        public async Task<Stream> Handle(Stream steps)
        {
            LambdaResponseStream stream = null;
            var letters = new StreamReader(steps).ReadToEnd().Trim('"');
            foreach (var step in letters)
            {
                switch (step)
                {
                    case 's':
                        stream = LambdaResponseStreamFactory.CreateStream();
                        break;
                    case 'h':
                        stream = LambdaResponseStreamFactory.CreateHttpStream(new HttpResponseStreamPrelude { StatusCode = 201 });
                        break;
                    case 'w':
                        var text = Encoding.UTF8.GetBytes("\u00e9" + stream.BytesWritten + " ");
                        await stream.WriteAsync(text, 0, text.Length);
                        break;
                    case 'b':
                        stream.Write(new byte[1 << 20], 0, 1 << 20);
                        break;
                    case '0':
                        stream.Write(new byte[0], 0, 0);
                        break;
                    case 'f':
                        while (!File.Exists("/tmp/" + Environment.GetEnvironmentVariable("GO")))
                        {
                            await Task.Delay(5);
                        }
                        break;
                    case 'x':
                        throw new FormatException("on purpose");
                }
            }
            kept = stream;
            return stream ?? (Stream)new MemoryStream(Encoding.UTF8.GetBytes("no stream"));
        }

        private LambdaResponseStream kept;

        /// Writes to the stream of an earlier event, which is over.
        public Stream TooLate(Stream steps)
        {
            if (kept == null)
            {
                kept = LambdaResponseStreamFactory.CreateStream();
                return null;
            }
            kept.WriteByte(1);
            return null;
        }
    }

    public class Hooks
    {
        private readonly List<string> ran = new List<string>();

        public Hooks()
        {
            SnapshotRestore.RegisterBeforeSnapshot(() => new ValueTask(Ran("before 1")));
            SnapshotRestore.RegisterBeforeSnapshot(() => new ValueTask(Ran("before 2")));
            SnapshotRestore.RegisterAfterRestore(() => new ValueTask(Ran("after 1")));
            SnapshotRestore.RegisterAfterRestore(() => new ValueTask(Ran("after 2")));
        }

        private async Task Ran(string name)
        {
            await Task.Yield();
            if (name == Environment.GetEnvironmentVariable("FAIL"))
            {
                throw new FormatException("on purpose");
            }
            ran.Add(name);
        }

        public Stream Handle(Stream input)
        {
            return new MemoryStream(Encoding.UTF8.GetBytes(string.Join(", ", ran)));
        }
    }
}
