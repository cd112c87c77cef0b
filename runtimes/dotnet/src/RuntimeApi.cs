// HTTP/1.1 to the Runtime API over one raw socket. Replies carry Content-Length.

using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Lambd
{
    /// An event as it came.
    internal sealed class Event
    {
        internal Dictionary<string, string> Headers;
        internal byte[] Body;

        internal string RequestId { get { return Header("lambda-runtime-aws-request-id"); } }
        internal string TraceId { get { return Header("lambda-runtime-trace-id"); } }

        /// The value of a header, by its name in lower case; null without one.
        internal string Header(string name)
        {
            string value;
            return Headers.TryGetValue(name, out value) ? value : null;
        }
    }

    internal sealed class RuntimeApi
    {
        /// The Runtime API does not work; nothing can be done about it here.
        internal sealed class Broken : Exception
        {
            internal Broken(int status, string path) : base("the Runtime API answered " + status + " to " + path) { }
        }

        private const string Root = "/2018-06-01/runtime/";
        private static readonly byte[] EndOfLine = { (byte)'\r', (byte)'\n' };

        private readonly string host;
        private readonly int port;
        private readonly string tail;
        private readonly byte[] next;
        private bool asked; // whether a GET next is on its way
        private Socket socket;
        private byte[] data = new byte[16384];
        private int start, end; // what of `data` is received and not used
        private int status;
        private Event reply;

        internal RuntimeApi(string address)
        {
            var colon = address.LastIndexOf(':');
            host = address.Substring(0, colon);
            port = int.Parse(address.Substring(colon + 1));
            tail = " HTTP/1.1\r\nHost: " + address + "\r\n";
            next = Encoding.ASCII.GetBytes("GET " + Root + "invocation/next" + tail + "\r\n");
            Connect();
        }

        /// Waits for the next event.
        internal Event Next()
        {
            if (asked)
            {
                asked = false;
                try
                {
                    Receive();
                }
                catch (IOException) // closed after the reply to our POST
                {
                    Connect();
                    Exchange(new ArraySegment<byte>(next));
                }
            }
            else
            {
                Exchange(new ArraySegment<byte>(next));
            }
            if (status != 200)
            {
                throw new Broken(status, "next");
            }
            return reply;
        }

        /// Posts a reply and, with `thenNext`, asks for the next event in the same write.
        internal void Post(string path, byte[] body, int offset, int length, string headers, bool thenNext)
        {
            var head = "POST " + Root + path + tail + headers +
                "Content-Type: application/json\r\nContent-Length: " + length + "\r\n\r\n";
            var parts = new List<ArraySegment<byte>> { new ArraySegment<byte>(Encoding.ASCII.GetBytes(head)) };
            if (length > 0)
            {
                parts.Add(new ArraySegment<byte>(body, offset, length));
            }
            if (thenNext)
            {
                parts.Add(new ArraySegment<byte>(next));
            }
            try
            {
                Exchange(parts.ToArray());
                asked = thenNext;
            }
            catch (IOException)
            {
                // Refused in mid-body, or the connection is gone for good: the service has its own
                // answer for this event, and asking for the next one tells which.
                Connect();
            }
            if (status >= 500)
            {
                throw new Broken(status, path);
            }
        }

        /// Begins a POST whose body comes in chunks.
        internal void Begin(string path, string headers)
        {
            var head = Encoding.ASCII.GetBytes("POST " + Root + path + tail + headers + "Transfer-Encoding: chunked\r\n\r\n");
            try
            {
                Send(new[] { new ArraySegment<byte>(head) });
            }
            catch (IOException)
            {
                Connect();
                Send(new[] { new ArraySegment<byte>(head) });
            }
        }

        /// Sends a part of the body. An empty one would be the last.
        internal void SendChunk(byte[] body, int offset, int length)
        {
            if (length == 0)
            {
                return;
            }
            Send(new[]
            {
                new ArraySegment<byte>(Encoding.ASCII.GetBytes(length.ToString("x") + "\r\n")),
                new ArraySegment<byte>(body, offset, length),
                new ArraySegment<byte>(EndOfLine),
            });
        }

        /// Ends the body, with headers behind it, and asks for the next event in the same write.
        internal void End(string path, string trailers)
        {
            var last = Encoding.ASCII.GetBytes("0\r\n" + trailers + "\r\n");
            try
            {
                Send(new[] { new ArraySegment<byte>(last), new ArraySegment<byte>(next) });
                Receive();
                asked = true;
            }
            catch (IOException)
            {
                // As with other responses. What was sent is gone, so nothing is repeated.
                Connect();
            }
            if (status >= 500)
            {
                throw new Broken(status, path);
            }
        }

        private void Connect()
        {
            if (socket != null)
            {
                socket.Dispose();
            }
            status = start = end = 0;
            IPAddress address;
            socket = IPAddress.TryParse(host, out address)
                ? new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp)
                : new Socket(SocketType.Stream, ProtocolType.Tcp);
            socket.NoDelay = true;
            if (address != null)
            {
                socket.Connect(new IPEndPoint(address, port));
            }
            else
            {
                socket.Connect(host, port);
            }
        }

        /// Sends and reads one reply. A server may close an idle kept connection at any time, so a failure
        /// is repeated once on a new one.
        private void Exchange(params ArraySegment<byte>[] request)
        {
            try
            {
                Send(request);
                Receive();
            }
            catch (IOException)
            {
                Connect();
                Send(request);
                Receive();
            }
        }

        private void Send(ArraySegment<byte>[] request)
        {
            try
            {
                foreach (var part in request.Length == 1 ? request : Gathered(request))
                {
                    for (int at = 0; at < part.Count;)
                    {
                        at += socket.Send(part.Array, part.Offset + at, part.Count - at, SocketFlags.None);
                    }
                }
            }
            catch (SocketException error)
            {
                throw new IOException("send", error);
            }
        }

        /// One write for what is short; large bodies are not copied.
        private static IEnumerable<ArraySegment<byte>> Gathered(ArraySegment<byte>[] request)
        {
            var length = 0;
            foreach (var part in request)
            {
                length += part.Count;
            }
            if (length > 65536)
            {
                return request;
            }
            var all = new byte[length];
            var at = 0;
            foreach (var part in request)
            {
                Buffer.BlockCopy(part.Array, part.Offset, all, at, part.Count);
                at += part.Count;
            }
            return new[] { new ArraySegment<byte>(all) };
        }

        private void Receive()
        {
            int finish;
            var searched = start;
            while ((finish = EndOfHead(searched)) < 0)
            {
                searched = Math.Max(start, end - 3) - start;
                Fill();
                searched += start;
            }
            var lines = Encoding.UTF8.GetString(data, start, finish - start)
                .Split(new[] { "\r\n" }, StringSplitOptions.None);
            start = finish + 4;
            var headers = new Dictionary<string, string>(StringComparer.Ordinal);
            for (var number = 1; number < lines.Length; number++)
            {
                var colon = lines[number].IndexOf(':');
                if (colon > 0)
                {
                    headers[lines[number].Substring(0, colon).ToLowerInvariant()] =
                        lines[number].Substring(colon + 1).Trim();
                }
            }
            string length;
            var body = new byte[headers.TryGetValue("content-length", out length) ? int.Parse(length) : 0];
            var there = Math.Min(body.Length, end - start);
            Buffer.BlockCopy(data, start, body, 0, there);
            start += there;
            while (there < body.Length)
            {
                there += ReceiveInto(body, there);
            }
            status = int.Parse(lines[0].Split(' ')[1]);
            reply = new Event { Headers = headers, Body = body };
        }

        private int EndOfHead(int from)
        {
            for (var at = from; at + 3 < end; at++)
            {
                if (data[at] == '\r' && data[at + 1] == '\n' && data[at + 2] == '\r' && data[at + 3] == '\n')
                {
                    return at;
                }
            }
            return -1;
        }

        private void Fill()
        {
            if (start > 0)
            {
                Buffer.BlockCopy(data, start, data, 0, end - start);
                end -= start;
                start = 0;
            }
            if (end == data.Length)
            {
                Array.Resize(ref data, 2 * data.Length);
            }
            end += ReceiveInto(data, end);
        }

        private int ReceiveInto(byte[] buffer, int offset)
        {
            try
            {
                var received = socket.Receive(buffer, offset, buffer.Length - offset, SocketFlags.None);
                if (received > 0)
                {
                    return received;
                }
            }
            catch (SocketException error)
            {
                throw new IOException("receive", error);
            }
            throw new EndOfStreamException();
        }
    }
}
