// As much JSON as the runtime needs: functions bring their own serializer.

using System.Collections.Generic;
using System.Text;

namespace Lambd
{
    internal static class Json
    {
        /// Appends a string with its quotes.
        internal static void Quote(StringBuilder json, string text)
        {
            json.Append('"');
            foreach (var c in text)
            {
                switch (c)
                {
                    case '"': json.Append("\\\""); break;
                    case '\\': json.Append("\\\\"); break;
                    case '\n': json.Append("\\n"); break;
                    case '\r': json.Append("\\r"); break;
                    case '\t': json.Append("\\t"); break;
                    default:
                        if (c < ' ')
                        {
                            json.Append("\\u").Append(((int)c).ToString("x4"));
                        }
                        else
                        {
                            json.Append(c);
                        }
                        break;
                }
            }
            json.Append('"');
        }

        /// The members of an object: strings as they are, of anything else its JSON. Null for what is no object.
        internal static Dictionary<string, string> Members(string json)
        {
            if (json == null)
            {
                return null;
            }
            var members = new Dictionary<string, string>();
            var at = SkipSpace(json, 0);
            if (at >= json.Length || json[at] != '{')
            {
                return null;
            }
            at = SkipSpace(json, at + 1);
            while (at < json.Length && json[at] == '"')
            {
                string name;
                at = SkipSpace(json, ReadString(json, at, out name));
                if (at >= json.Length || json[at] != ':')
                {
                    return null;
                }
                at = SkipSpace(json, at + 1);
                string value;
                var end = SkipValue(json, at, out value);
                members[name] = value ?? json.Substring(at, end - at).Trim();
                at = SkipSpace(json, end);
                if (at < json.Length && json[at] == ',')
                {
                    at = SkipSpace(json, at + 1);
                }
            }
            return members;
        }

        /// The value of a member; null without one.
        internal static string Get(Dictionary<string, string> members, string name)
        {
            string value;
            return members != null && members.TryGetValue(name, out value) ? value : null;
        }

        private static int SkipSpace(string json, int at)
        {
            while (at < json.Length && char.IsWhiteSpace(json[at]))
            {
                at++;
            }
            return at;
        }

        /// The end of a value; `text` is what a string holds.
        private static int SkipValue(string json, int at, out string text)
        {
            text = null;
            if (at < json.Length && json[at] == '"')
            {
                return ReadString(json, at, out text);
            }
            for (var depth = 0; at < json.Length; at++)
            {
                var c = json[at];
                if (c == '"')
                {
                    string inner;
                    at = ReadString(json, at, out inner) - 1;
                }
                else if (c == '{' || c == '[')
                {
                    depth++;
                }
                else if (depth > 0 && (c == '}' || c == ']'))
                {
                    depth--;
                }
                else if (depth == 0 && (c == ',' || c == '}' || c == ']'))
                {
                    break;
                }
            }
            return at;
        }

        private static int ReadString(string json, int at, out string text)
        {
            var read = new StringBuilder();
            for (at++; at < json.Length && json[at] != '"'; at++)
            {
                if (json[at] != '\\' || at + 1 == json.Length)
                {
                    read.Append(json[at]);
                    continue;
                }
                at++;
                var known = "bfnrt".IndexOf(json[at]);
                int code;
                if (json[at] == 'u' && at + 4 < json.Length && int.TryParse(json.Substring(at + 1, 4),
                    System.Globalization.NumberStyles.HexNumber, null, out code))
                {
                    read.Append((char)code);
                    at += 4;
                }
                else
                {
                    read.Append(known < 0 ? json[at] : "\b\f\n\r\t"[known]);
                }
            }
            text = read.ToString();
            return at + 1;
        }
    }
}
