// What the runtime and the function's logger write to the log: lines of text, or records in JSON where the
// function's configuration asks for them. The console is left alone.

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
        private static Stream output;

        /// Of the event in hand.
        internal static string RequestId;

        /// Writes a message without the end of its line.
        internal static void Text(string message)
        {
            Write(InJson ? Record("Information", message, null, null) : message);
        }

        /// Writes a message.
        internal static void Line(string message)
        {
            Write(InJson ? Record("Information", message, null, null) : message + "\n");
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
            Write(error == null ? filled + "\n" : filled + "\n" + error + "\n");
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
            record.Append(DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
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
