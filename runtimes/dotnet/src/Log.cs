// What the runtime and the function's logger write to the log: lines of text, or records in JSON where the
// function's configuration asks for them. Since .NET 6 a line begins with time, request id and level, those of the console
// too; the console of older ones and of records is left alone.

using System;
using System.Globalization;
using System.IO;
using System.Text;

namespace Lambd
{
    internal static class Log
    {
        private static readonly object Turn = new object();
        private static readonly bool InJson =
            Environment.GetEnvironmentVariable("AWS_LAMBDA_LOG_FORMAT") == "JSON";
        private static readonly bool HasPrefix = !InJson && IsSinceNet6(Environment.GetEnvironmentVariable("AWS_EXECUTION_ENV")) &&
            !string.Equals(Environment.GetEnvironmentVariable("AWS_LAMBDA_HANDLER_LOG_FORMAT"), "Unformatted",
                StringComparison.OrdinalIgnoreCase);
        private static Stream output;

        private static bool IsSinceNet6(string environment)
        {
            const string Start = "AWS_Lambda_dotnet";
            int version;
            return environment != null && environment.StartsWith(Start, StringComparison.Ordinal) &&
                int.TryParse(environment.Substring(Start.Length), out version) && version >= 6;
        }

        private static Lines standard, errors;

        /// Writes what an event has left without the end of a line.
        internal static void EndLines()
        {
            if (HasPrefix)
            {
                standard.End();
                errors.End();
            }
        }

        /// Has lines of the console begin as others do, where they do.
        internal static void TakeConsole()
        {
            if (HasPrefix)
            {
                Console.SetOut(standard = new Lines("Information"));
                Console.SetError(errors = new Lines("Error"));
            }
        }

        /// Of the event in hand.
        internal static string RequestId;

        /// Writes a message without the end of its line.
        internal static void Text(string message)
        {
            if (HasPrefix)
            {
                // Its line may be written in parts.
                standard.Write(message);
                return;
            }
            Write(InJson ? Record("Information", message, null, null) : message);
        }

        /// Writes a message.
        internal static void Line(string message)
        {
            Write(InJson ? Record("Information", message, null, null) : HasPrefix ? Prefixed("Information", message) : message + "\n");
        }

        /// Writes a message with its arguments for the names in braces.
        internal static void Levelled(string level, string message, object[] arguments)
        {
            Levelled(level, null, message, arguments);
        }

        /// The same with an exception below it.
        internal static void Levelled(string level, Exception error, string message, object[] arguments)
        {
            if (InJson)
            {
                Write(Record(level, message, arguments, error));
                return;
            }
            var filled = Filled(message, arguments, null);
            var text = error == null ? filled : filled + "\n" + error;
            Write(HasPrefix ? Prefixed(level, text) : text + "\n");
        }

        private static string Prefixed(string level, string message)
        {
            return Now() + "\t" + RequestId + "\t" + Label(level) + "\t" + message + "\n";
        }

        private static string Label(string level)
        {
            switch (level)
            {
                case "Trace": return "trce";
                case "Debug": return "dbug";
                case "Information": return "info";
                case "Warning": return "warn";
                case "Error": return "fail";
                case "Critical": return "crit";
                default: return level;
            }
        }

        private static string Now()
        {
            return DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
        }

        /// The console, line by line.
        private class Lines : TextWriter
        {
            private readonly string level;
            private readonly StringBuilder line = new StringBuilder();

            internal Lines(string level)
            {
                this.level = level;
                NewLine = "\n";
            }

            public override Encoding Encoding { get { return Encoding.UTF8; } }

            public override void Write(char c)
            {
                lock (line)
                {
                    if (c == '\n')
                    {
                        Out("");
                    }
                    else
                    {
                        line.Append(c);
                    }
                }
            }

            public override void Write(string text)
            {
                lock (line)
                {
                    foreach (var c in text ?? "")
                    {
                        Write(c);
                    }
                }
            }

            /// What is written with line ends in it at once is one message.
            public override void WriteLine(string text)
            {
                lock (line)
                {
                    Out(text);
                }
            }

            /// The rest of an event's output is not another's.
            internal void End()
            {
                lock (line)
                {
                    if (line.Length > 0)
                    {
                        Out("");
                    }
                }
            }

            private void Out(string text)
            {
                Log.Write(Prefixed(level, line.Append(text).ToString()));
                line.Clear();
            }
        }

        /// Writes the document of an error.
        internal static void Error(Report report)
        {
            if (!InJson)
            {
                Write(report.Document + "\n");
                return;
            }
            Write(Start("Error").Append(',').Append(report.Document, 1, report.Document.Length - 1) + "\n");
        }

        /// In one write, so that lines of several threads do not mix.
        private static void Write(string text)
        {
            var bytes = Encoding.UTF8.GetBytes(text ?? "");
            lock (Turn)
            {
                if (output == null)
                {
                    output = Console.OpenStandardOutput();
                }
                output.Write(bytes, 0, bytes.Length);
                output.Flush();
            }
        }

        private static string Record(string level, string message, object[] arguments, Exception error)
        {
            var members = new StringBuilder();
            var record = Start(level).Append(",\"message\":");
            Json.Quote(record, Filled(message, arguments, members));
            record.Append(members);
            if (error != null)
            {
                var document = new Report(error).Document;
                record.Append(',').Append(document, 1, document.Length - 2);
            }
            return record.Append("}\n").ToString();
        }

        private static StringBuilder Start(string level)
        {
            var record = new StringBuilder("{\"timestamp\":\"");
            record.Append(Now());
            record.Append("\",\"level\":");
            Json.Quote(record, level ?? "Information");
            Member(record, "requestId", RequestId);
            Member(record, "traceId", Environment.GetEnvironmentVariable("_X_AMZN_TRACE_ID"));
            return record;
        }

        private static void Member(StringBuilder record, string name, string value)
        {
            if (!string.IsNullOrEmpty(value))
            {
                record.Append(",\"").Append(name).Append("\":");
                Json.Quote(record, value);
            }
        }

        /// `{name}` and `{name:format}` stand for the arguments in their order, `{0}` for the first; `{{` and
        /// `}}` for braces. What stands for a name is a member of records as well.
        private static string Filled(string message, object[] arguments, StringBuilder members)
        {
            if (arguments == null || arguments.Length == 0)
            {
                return message ?? "";
            }
            var filled = new StringBuilder();
            var used = 0;
            for (var at = 0; at < message.Length; at++)
            {
                var c = message[at];
                if ((c == '{' || c == '}') && at + 1 < message.Length && message[at + 1] == c)
                {
                    filled.Append(c);
                    at++;
                    continue;
                }
                var end = c == '{' ? message.IndexOf('}', at) : -1;
                if (end < 0 || used >= arguments.Length)
                {
                    filled.Append(c);
                    continue;
                }
                var colon = message.IndexOf(':', at, end - at);
                var name = message.Substring(at + 1, (colon < 0 ? end : colon) - at - 1);
                int index;
                var isNumber = int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out index);
                var value = arguments[isNumber && index < arguments.Length ? index : used];
                used++;
                var format = colon < 0 ? "{0}" : "{0" + message.Substring(colon, end - colon) + "}";
                filled.AppendFormat(CultureInfo.InvariantCulture, format, value);
                if (members != null && value != null)
                {
                    members.Append(',');
                    Json.Quote(members, name);
                    members.Append(':');
                    WriteValue(members, value);
                }
                at = end;
            }
            return filled.ToString();
        }

        private static void WriteValue(StringBuilder json, object value)
        {
            if (value is bool)
            {
                json.Append((bool)value ? "true" : "false");
            }
            else if (value is int || value is long || value is short || value is byte || value is uint ||
                value is ulong || value is ushort || value is sbyte || value is decimal)
            {
                json.Append(Convert.ToString(value, CultureInfo.InvariantCulture));
            }
            else
            {
                Json.Quote(json, Convert.ToString(value, CultureInfo.InvariantCulture) ?? "");
            }
        }
    }
}
