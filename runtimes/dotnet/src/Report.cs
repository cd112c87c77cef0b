// An error as the service wants to have it.

using System;
using System.Collections.Generic;
using System.IO;
using System.Reflection;
using System.Text;

namespace Lambd
{
    internal sealed class Report
    {
        // The X-Ray cause travels in a header; a longer one is dropped, not cut.
        private const int MaxCauseBytes = 32 * 1024;
        private const int MaxCauseExceptions = 5;
        private const int MaxCauseFrames = 15;
        // Frames of an endless recursion that was caught are all alike.
        private const int MaxFrames = 200;

        private readonly Exception error;

        internal Report(Exception raised)
        {
            while (raised is Thrown)
            {
                raised = raised.InnerException;
            }
            error = raised;
            var document = new StringBuilder();
            Write(document, error);
            Document = document.ToString();
            Body = Encoding.UTF8.GetBytes(Document);
        }

        /// The error in JSON.
        internal string Document { get; private set; }

        /// The same in UTF-8.
        internal byte[] Body { get; private set; }

        /// The headers that go with it, each with its end of line.
        internal string Headers(bool withCause)
        {
            var headers = "Lambda-Runtime-Function-Error-Type: " + Visible(error.GetType().Name) + "\r\n";
            var cause = withCause ? Cause() : null;
            return cause == null ? headers : headers + "Lambda-Runtime-Function-XRay-Error-Cause: " + cause + "\r\n";
        }

        private static void Write(StringBuilder json, Exception error)
        {
            json.Append("{\"errorType\":");
            Json.Quote(json, error.GetType().Name);
            json.Append(",\"errorMessage\":");
            Json.Quote(json, Message(error));
            var frames = Frames(error);
            if (frames.Count > 0)
            {
                json.Append(",\"stackTrace\":[");
                for (var at = 0; at < frames.Count; at++)
                {
                    json.Append(at == 0 ? "" : ",");
                    Json.Quote(json, frames[at]);
                }
                json.Append(']');
            }
            if (error.InnerException != null)
            {
                json.Append(",\"cause\":");
                Write(json, Uncarried(error.InnerException));
            }
            var several = error as AggregateException;
            if (several != null && several.InnerExceptions.Count > 1)
            {
                json.Append(",\"causes\":[");
                for (var at = 0; at < several.InnerExceptions.Count; at++)
                {
                    json.Append(at == 0 ? "" : ",");
                    Write(json, Uncarried(several.InnerExceptions[at]));
                }
                json.Append(']');
            }
            json.Append('}');
        }

        private static Exception Uncarried(Exception error)
        {
            return error is Thrown ? error.InnerException : error;
        }

        private static string Message(Exception error)
        {
            try
            {
                return error.Message ?? "";
            }
            catch (Exception other) // an overridden Message may do anything
            {
                return "the message of this exception threw " + other.GetType().Name;
            }
        }

        /// Those of the function: the runtime's own are at the end.
        private static List<string> Frames(Exception error)
        {
            var frames = new List<string>();
            if (error is LambdaException || error.StackTrace == null)
            {
                return frames;
            }
            foreach (var line in error.StackTrace.Split('\n'))
            {
                var frame = line.Trim();
                if (frame.Length > 0 && frames.Count < MaxFrames)
                {
                    frames.Add(frame);
                }
            }
            while (frames.Count > 0 && IsOwn(frames[frames.Count - 1]))
            {
                frames.RemoveAt(frames.Count - 1);
            }
            return frames;
        }

        private static bool IsOwn(string frame)
        {
            return frame.StartsWith("at Lambd.", StringComparison.Ordinal) ||
                frame.StartsWith("at InvokeStub_", StringComparison.Ordinal) ||
                frame.StartsWith("at System.Reflection.MethodBaseInvoker.", StringComparison.Ordinal) ||
                frame.StartsWith("at System.Reflection.MethodInvoker.", StringComparison.Ordinal) ||
                frame.StartsWith("at System.RuntimeMethodHandle.InvokeMethod(", StringComparison.Ordinal);
        }

        /// What X-Ray shows of it, or null when there is too much.
        private string Cause()
        {
            var json = new StringBuilder("{\"working_directory\":");
            Json.Quote(json, Directory.GetCurrentDirectory());
            json.Append(",\"exceptions\":[");
            var at = error;
            for (var count = 0; at != null && count < MaxCauseExceptions; count++, at = at.InnerException)
            {
                json.Append(count == 0 ? "" : ",").Append("{\"type\":");
                Json.Quote(json, at.GetType().Name);
                json.Append(",\"message\":");
                Json.Quote(json, Message(at));
                json.Append(",\"stack\":[");
                var frames = Frames(at);
                for (var number = 0; number < frames.Count && number < MaxCauseFrames; number++)
                {
                    json.Append(number == 0 ? "" : ",");
                    WriteFrame(json, frames[number]);
                }
                json.Append("]}");
            }
            var cause = Ascii(json.Append("],\"paths\":[]}").ToString());
            return cause.Length <= MaxCauseBytes ? cause : null;
        }

        /// `at Type.Method() in /path:line 12`; without symbols there is no path.
        private static void WriteFrame(StringBuilder json, string frame)
        {
            var label = frame.StartsWith("at ", StringComparison.Ordinal) ? frame.Substring(3) : frame;
            var path = "";
            var line = 0;
            var place = label.LastIndexOf(" in ", StringComparison.Ordinal);
            var colon = label.LastIndexOf(":line ", StringComparison.Ordinal);
            if (place > 0 && colon > place && int.TryParse(label.Substring(colon + 6), out line))
            {
                path = label.Substring(place + 4, colon - place - 4);
                label = label.Substring(0, place);
            }
            json.Append("{\"path\":");
            Json.Quote(json, path);
            json.Append(",\"line\":").Append(line).Append(",\"label\":");
            Json.Quote(json, label);
            json.Append('}');
        }

        /// JSON of visible characters only.
        private static string Ascii(string json)
        {
            var ascii = new StringBuilder(json.Length);
            foreach (var c in json)
            {
                if (c >= ' ' && c <= '~')
                {
                    ascii.Append(c);
                }
                else
                {
                    ascii.Append("\\u").Append(((int)c).ToString("x4"));
                }
            }
            return ascii.ToString();
        }

        private static string Visible(string text)
        {
            var visible = new StringBuilder(text.Length);
            foreach (var c in text)
            {
                visible.Append(c >= ' ' && c <= '~' ? c : '?');
            }
            return visible.ToString();
        }
    }
}
