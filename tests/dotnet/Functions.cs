// Handlers of the tests, in the forms that functions in C# have.

using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Amazon.Lambda.Core;

[assembly: LambdaSerializer(typeof(Functions.Json))]

namespace Functions
{
    /// A serializer on the JSON library of .NET, as AWS's are.
    public class Json : ILambdaSerializer
    {
        public T Deserialize<T>(Stream request)
        {
            return System.Text.Json.JsonSerializer.Deserialize<T>(new StreamReader(request).ReadToEnd());
        }

        public void Serialize<T>(T response, Stream into)
        {
            var bytes = Encoding.UTF8.GetBytes(System.Text.Json.JsonSerializer.Serialize(response));
            into.Write(bytes, 0, bytes.Length);
        }
    }

    /// Another one: what goes in and out is marked.
    public class Marking : ILambdaSerializer
    {
        public T Deserialize<T>(Stream request)
        {
            return (T)(object)("<" + new StreamReader(request).ReadToEnd());
        }

        public void Serialize<T>(T response, Stream into)
        {
            var bytes = Encoding.UTF8.GetBytes(response + ">");
            into.Write(bytes, 0, bytes.Length);
        }
    }

    public class NoConstructor : Json
    {
        public NoConstructor(int any) { }
    }

    public class NoSerializer { }

    public class Order
    {
        public string Name { get; set; }
        public int Count { get; set; }
        public List<Order> Parts { get; set; }
    }

    public class Forms
    {
        private static int calls;
        private readonly string made = "made";

        public string Upper(string input, ILambdaContext context)
        {
            return input?.ToUpper();
        }

        public Order Double(Order order)
        {
            order.Count *= 2;
            return order;
        }

        public IDictionary<string, int> Counts(IList<string> words)
        {
            return words.GroupBy(word => word).ToDictionary(group => group.Key, group => group.Count());
        }

        public static int Static(int number)
        {
            return number + 1;
        }

        public string NoInput()
        {
            return made;
        }

        public string OnlyContext(ILambdaContext context)
        {
            return context.FunctionName;
        }

        public int Calls()
        {
            return ++calls;
        }

        public void Nothing(string input)
        {
            Console.WriteLine("got " + input);
        }

        public async Task NothingLater(string input)
        {
            await Task.Delay(1);
            Console.WriteLine("later " + input);
        }

        public async Task<string> Later(string input)
        {
            await Task.Delay(1);
            return input + "!";
        }

        public Task<string> Done(string input)
        {
            return Task.FromResult(input);
        }

        private string Hidden(string input)
        {
            return "hidden " + input;
        }

        public Stream Same(Stream stream)
        {
            return stream;
        }

        public async Task<Stream> SameLater(Stream stream)
        {
            var copy = new MemoryStream();
            await stream.CopyToAsync(copy);
            copy.Position = 0;
            return copy;
        }

        public Stream Rest(Stream stream)
        {
            stream.ReadByte();
            return stream;
        }

        public Stream NoStream(Stream stream)
        {
            return null;
        }

        public Stream FromFile(Stream stream)
        {
            return File.OpenRead(Environment.GetEnvironmentVariable("LAMBDA_TASK_ROOT") + "/page.html");
        }

        [LambdaSerializer(typeof(Marking))]
        public string Marked(string input)
        {
            return input;
        }

        public string Overloaded(string input)
        {
            return "text";
        }

        public string Overloaded(int input)
        {
            return "number";
        }
    }

    public class Inherited : Forms { }

    public struct Value
    {
        public string Handle(string input)
        {
            return "struct " + input;
        }
    }

    public class About
    {
        public Dictionary<string, object> Context(Stream input, ILambdaContext context)
        {
            var client = context.ClientContext;
            return new Dictionary<string, object>
            {
                { "AwsRequestId", context.AwsRequestId },
                { "FunctionName", context.FunctionName },
                { "FunctionVersion", context.FunctionVersion },
                { "InvokedFunctionArn", context.InvokedFunctionArn },
                { "LogGroupName", context.LogGroupName },
                { "LogStreamName", context.LogStreamName },
                { "MemoryLimitInMB", context.MemoryLimitInMB },
                { "Remaining", context.RemainingTime.TotalMilliseconds },
                { "Identity", context.Identity.IdentityId + "/" + context.Identity.IdentityPoolId },
                { "Client", client.Client == null ? null : client.Client.AppTitle + "/" + client.Client.InstallationId },
                { "Custom", client.Custom },
                { "Env", client.Environment },
                { "Trace", Environment.GetEnvironmentVariable("_X_AMZN_TRACE_ID") },
            };
        }

        public double Passing(ILambdaContext context)
        {
            var before = context.RemainingTime;
            Thread.Sleep(120);
            return (before - context.RemainingTime).TotalMilliseconds;
        }

        public void Log(ILambdaContext context)
        {
            Console.WriteLine("console é");
            Console.Error.WriteLine("error");
            Console.SetOut(TextWriter.Null);
            LambdaLogger.Log("library");
            context.Logger.LogLine("line");
            context.Logger.Log("no ");
            context.Logger.Log("end\n");
        }

        public string Variable(string name)
        {
            return Environment.GetEnvironmentVariable(name);
        }

        public string Region(ILambdaContext context)
        {
            return new System.Globalization.CultureInfo("de-DE").NumberFormat.NumberDecimalSeparator;
        }

        public string Core(ILambdaContext context)
        {
            return typeof(ILambdaContext).Assembly.Location;
        }

        public int Collected(int times)
        {
            var last = 0;
            for (var time = 0; time < times; time++)
            {
                var waste = new byte[8 << 20];
                for (var at = 0; at < waste.Length; at += 4096)
                {
                    waste[at] = 1;
                }
                last = waste.Length;
            }
            return last;
        }
    }

    public class Errors
    {
        public void Throw()
        {
            Inner();
        }

        private static void Inner()
        {
            throw new ArithmeticException("Sorry, 2 + 2 = 5", new FormatException("\"inner\"\n\u00e9"));
        }

        public async Task ThrowLater()
        {
            await Task.Delay(1);
            Inner();
        }

        public async Task<int> ThrowValueLater()
        {
            await Task.Delay(1);
            Inner();
            return 1;
        }

        public async Task Several()
        {
            await Task.Yield();
            throw new AggregateException(new ArithmeticException("one"), new FormatException("two"));
        }

        public string Echo(string input)
        {
            return input;
        }

        public object Cycle()
        {
            var list = new List<object>();
            list.Add(list);
            return list;
        }

        public void BadMessage()
        {
            throw new Unspeakable();
        }

        public void Exit()
        {
            Environment.Exit(3);
        }

        public void Deep()
        {
            Deep();
            GC.KeepAlive(this);
        }

        public void Memory()
        {
            var all = new List<byte[]>();
            while (true)
            {
                var block = new byte[1 << 20];
                for (var at = 0; at < block.Length; at += 4096)
                {
                    block[at] = 1;
                }
                all.Add(block);
            }
        }

        public void ThreadThrows()
        {
            var thread = new Thread(Inner);
            thread.Start();
            thread.Join();
            Thread.Sleep(Timeout.Infinite);
        }
    }

    public class Unspeakable : Exception
    {
        public override string Message { get { throw new InvalidOperationException(); } }
    }

    public class ThrowsInConstructor
    {
        public ThrowsInConstructor()
        {
            throw new ArithmeticException("Sorry, 2 + 2 = 5");
        }

        public void Handle() { }
    }

    public class ThrowsInStaticConstructor
    {
        private static readonly int Number = int.Parse("none");

        public int Handle()
        {
            return Number;
        }
    }

    public abstract class Abstract
    {
        public string Handle()
        {
            return "x";
        }

        public abstract string Missing();

        public static string Static()
        {
            return "static";
        }
    }

    public class Generic<T>
    {
        public void Handle() { }
    }

    public class Refused
    {
        public void Generic<T>(T input) { }
        public void Params(params string[] input) { }
        public void Three(string a, string b, ILambdaContext c) { }
        public void Second(string a, string b) { }
        public unsafe void Pointer(int* input) { }

        public async void AsyncVoid()
        {
            await Task.Yield();
        }

        [LambdaSerializer(typeof(NoConstructor))]
        public string BadSerializer(string input)
        {
            return input;
        }

        [LambdaSerializer(typeof(NoSerializer))]
        public string WrongSerializer(string input)
        {
            return input;
        }
    }
}
