using System;
using System.IO;
using System.Text;
using System.Text.RegularExpressions;

namespace Hello
{
    // On streams alone, so that it needs no package from NuGet: with Amazon.Lambda.Core and a serializer a
    // handler takes and returns types of its own.
    public static class Function
    {
        public static Stream Handler(Stream input)
        {
            var given = Regex.Match(new StreamReader(input).ReadToEnd(), "\"name\" *: *\"([^\"\\\\]*)\"");
            var name = given.Success ? given.Groups[1].Value : "World";
            Console.WriteLine("greeting " + name);
            var answer = "{\"message\": \"Hello, " + name + "!\", \"from\": \".NET " + Environment.Version + "\"}";
            return new MemoryStream(Encoding.UTF8.GetBytes(answer));
        }
    }
}
